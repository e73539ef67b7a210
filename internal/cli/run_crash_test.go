//go:build linux

package cli

import (
	"bytes"
	"fmt"
	"math/rand/v2" //nolint:depguard // when to kill, with a seed that repeats it
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/testbin"
	"github.com/bulkhead-dev/bulkhead/sandbox/sandboxtest"
)

// crashRounds is how often `bulkhead run` is killed, all engines together.
const crashRounds = 200

// TestCrashes kills `bulkhead run` at random moments, a third of the time with
// its supervisor or runc, and after all that calls `bulkhead gc` once: no
// process, mount, cgroup or folder is left. It prints how many kills there were.
func TestCrashes(t *testing.T) {
	rounds := crashRounds
	if testing.Short() {
		rounds /= 10
	}
	root, other := install(t, 0), install(t, unprivileged)
	kinds := []crashes{
		{name: "gvisor", place: other, args: []string{"--engine", "gvisor"}},
	}
	if os.Geteuid() == 0 {
		testbin.Installed(t, "runc")
		kinds = append(kinds,
			crashes{name: "gvisor, root, cgroup", place: root, args: []string{"--engine", "gvisor", "--memory", "256m"}},
			crashes{name: "runc, root, cgroup", place: root, args: []string{"--engine", "runc", "--min-boundary", "shared-kernel"}})
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for n := range kinds {
		kinds[n].measure(t)
	}
	for n := range rounds {
		kinds[n%len(kinds)].crash(t, random)
	}
	for n := range kinds {
		kinds[n].check(t)
	}
}

// crashes are the kills of one engine.
type crashes struct {
	name  string
	place installed
	args  []string

	life         time.Duration   // of one whole run on this machine
	ids          map[string]bool // of sandboxes that were seen
	kills, begun int             // begun: the sandbox had a folder by then
	withChildren int
}

// command starts bulkhead with a state folder of the test's own. For root there
// is but one place, so that it is another folder in a mount namespace.
func (c *crashes) command(args ...string) *exec.Cmd {
	cmd := c.place.command(args...)
	if c.place.uid != 0 {
		return cmd
	}
	script := fmt.Sprintf("mkdir -p -m 0700 %[1]s /run/bulkhead && mount --bind %[1]s /run/bulkhead && exec \"$0\" \"$@\"", c.state())
	wrapped := exec.Command("unshare", append([]string{"-m", "sh", "-c", script}, cmd.Args...)...)
	wrapped.Dir, wrapped.Env = cmd.Dir, cmd.Env
	return wrapped
}

func (c *crashes) state() string { return filepath.Join(c.place.home, "bulkhead") }

// left lists what is in the state folder, and remembers the sandboxes.
func (c *crashes) left() []string {
	var found []string
	for _, engine := range []string{"gvisor-", "runc-", ".tmp-"} {
		folders, _ := filepath.Glob(filepath.Join(c.state(), engine+"*"))
		for _, f := range folders {
			found = append(found, f)
			if _, id, ok := strings.Cut(filepath.Base(f), "-"); ok && engine != ".tmp-" {
				c.ids[id] = true
			}
		}
	}
	return found
}

// measure runs one command to its end: kills are spread over that time.
func (c *crashes) measure(t *testing.T) {
	t.Helper()
	c.ids = map[string]bool{}
	for range 2 { // the first one makes the root file system
		begin := time.Now()
		if out, err := c.command(append(append([]string{"run"}, c.args...), "--", "true")...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c.name, err, out)
		}
		c.life = time.Since(begin)
	}
}

func (c *crashes) crash(t *testing.T, random *rand.Rand) {
	t.Helper()
	cmd := c.command(append(append([]string{"run"}, c.args...), "--", "sleep", "60")...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Duration(random.Int64N(int64(c.life))))
	victims := []int{cmd.Process.Pid}
	if random.IntN(3) == 0 {
		victims = append(victims, children(cmd.Process.Pid)...)
		c.withChildren++
	}
	before := len(c.ids)
	c.left()
	for _, pid := range victims {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	_ = cmd.Wait()
	c.left()
	c.kills++
	if len(c.ids) > before {
		c.begun++
	}
}

// children lists the child processes of a process.
func children(pid int) []int {
	var out []int
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		for field := range strings.FieldsSeq(string(text)) {
			var child int
			if _, err := fmt.Sscan(field, &child); err == nil {
				out = append(out, child)
			}
		}
	}
	return out
}

// check waits until those that are left to clean up did, and lets one later
// call do the rest.
func (c *crashes) check(t *testing.T) {
	t.Helper()
	var left []string
	swept := -1
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var out bytes.Buffer
		gc := c.command("gc")
		gc.Stderr = &out
		if swept < 0 {
			swept = len(c.left())
		}
		if err := gc.Run(); err != nil {
			t.Fatalf("%s: gc: %v: %s", c.name, err, out.String())
		}
		left = c.traces()
		if len(left) == 0 || time.Now().After(deadline) {
			break
		}
	}
	t.Logf("%s: %d kills, %d with its child, %d after the sandbox had begun; %d folders were left to sweep, %d traces after it",
		c.name, c.kills, c.withChildren, c.begun, swept, len(left))
	if len(left) > 0 {
		t.Errorf("%s: left behind: %v", c.name, left)
	}
	if c.begun < c.kills/4 {
		t.Errorf("%s: only %d of %d kills came after the sandbox had begun", c.name, c.begun, c.kills)
	}
}

func (c *crashes) traces() []string {
	found := c.left()
	for id := range c.ids {
		found = append(found, sandboxtest.Traces(id)...)
	}
	// Processes whose sandbox was never seen, by their program.
	procs, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, p := range procs {
		if exe, err := os.Readlink(p); err == nil && strings.HasPrefix(exe, c.place.bin+"/") {
			found = append(found, "process "+p+" "+exe)
		}
	}
	return found
}
