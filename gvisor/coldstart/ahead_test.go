package coldstart_test

import (
	"os"
	"os/exec"
	"testing"
	_ "unsafe" // for go:linkname

	"gvisor.dev/gvisor/pkg/log"
	"gvisor.dev/gvisor/pkg/metric"
	"gvisor.dev/gvisor/pkg/sentry/kernel"
	_ "gvisor.dev/gvisor/pkg/sentry/syscalls/linux" // the table with which the counter is made

	_ "github.com/bulkhead-dev/bulkhead/gvisor/coldstart"
)

var (
	//go:linkname numbers gvisor.dev/gvisor/pkg/sentry/kernel.unimplementedSyscallNumbers
	numbers map[uintptr][]*metric.FieldValue
	//go:linkname counter gvisor.dev/gvisor/pkg/sentry/kernel.unimplementedSyscallCounter
	counter *metric.Uint64Metric
	//go:linkname otherNumber gvisor.dev/gvisor/pkg/sentry/kernel.outOfRangeSyscallNumber
	otherNumber []*metric.FieldValue
)

// TestAhead: a process of the supervisor's has one count of all system calls that
// are not implemented, any other one for each number, and logs less. That is done
// before main: each case is a process of its own.
func TestAhead(t *testing.T) {
	const envCase = "COLDSTART_AHEAD"
	cases := map[string]struct {
		arg      string
		together bool
	}{
		"supervised": {"--debug-command=!supervise", true},
		"runsc":      {"--debug-command=!boot", false},
	}
	if name := os.Getenv(envCase); name != "" {
		if together := len(numbers) == 0; together != cases[name].together {
			t.Errorf("counted together: %t, with %d numbers", together, len(numbers))
		}
		if log.IsLogging(log.Info) == cases[name].together || !log.IsLogging(log.Warning) {
			t.Error("the log has another level")
		}
		for sysno := range uintptr(5000) {
			kernel.IncrementUnimplementedSyscallCounter(sysno)
		}
		want := uint64(5000)
		if !cases[name].together {
			want -= uint64(len(numbers))
		}
		if got := counter.Value(otherNumber...); got != want {
			t.Errorf("%d of 5000 calls counted as any, want %d", got, want)
		}
		return
	}
	for name, tt := range cases {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^TestAhead$", "--", tt.arg)
			cmd.Env = append(os.Environ(), envCase+"="+name)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}
