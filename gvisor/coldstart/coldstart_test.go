package coldstart

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/sentry/seccheck"
)

// TestTracePoints: gVisor registers none in a sandbox of the supervisor's, and
// all of them in any other process, or where a trace session is asked for.
// Registration is once for a process: each case is one of its own.
func TestTracePoints(t *testing.T) {
	const envCase = "COLDSTART_CASE"
	cases := map[string]struct {
		args []string
		want bool
	}{
		"supervised":       {[]string{"runsc-sandbox", "--root=/r", "--debug-command=!supervise", "boot", "--bundle=/b", "id"}, false},
		"runsc":            {[]string{"runsc-sandbox", "--root=/r", "boot", "--bundle=/b", "id"}, true},
		"runsc, debugging": {[]string{"runsc-sandbox", "--debug-command=!boot", "boot", "id"}, true},
		"a session":        {[]string{"runsc-sandbox", "--debug-command=!supervise", "boot", "--pod-init-config-fd=3", "id"}, true},
	}
	if name := os.Getenv(envCase); name != "" {
		tt := cases[name]
		Use(tt.args, time.Hour)
		seccheck.Initialize() // as gVisor's loader does
		if got := len(seccheck.Points) > 0; got != tt.want {
			t.Errorf("trace points: %t, want %t", got, tt.want)
		}
		return
	}
	for name := range cases {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestTracePoints$")
			cmd.Env = append(os.Environ(), envCase+"="+name)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestSettled: a sandbox of the supervisor's collects once what its start left, and
// gives it back; any other process is left alone.
func TestSettled(t *testing.T) {
	forced := func() uint32 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.NumForcedGC
	}
	before := forced()
	Use([]string{"runsc-sandbox", "--root=/r", "boot", "id"}, 0)
	Use([]string{"runsc-sandbox", "--root=/r", "--debug-command=!supervise", "boot", "id"}, 10*time.Millisecond)
	for deadline := time.Now().Add(10 * time.Second); forced() == before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing was collected")
		}
	}
	if got := forced() - before; got != 1 {
		t.Errorf("%d collections, want 1", got)
	}
}

// TestUseWaits: what began before main is over when Use returns.
func TestUseWaits(t *testing.T) {
	before := looked
	defer func() { looked = before }()
	going := make(chan struct{})
	looked = going
	used := make(chan struct{})
	go func() {
		Use([]string{"runsc-sandbox", "--" + Flag + "=" + Value, "boot"}, time.Hour)
		close(used)
	}()
	select {
	case <-used:
		t.Error("it did not wait")
	case <-time.After(50 * time.Millisecond):
	}
	close(going)
	<-used
}
