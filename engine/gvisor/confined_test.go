//go:build linux

package gvisor

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/testbin"
)

// TestConfined: every thread of the sentry and of the gofer has the capabilities
// that gVisor gives it, none that it could gain, and a filter.
func TestConfined(t *testing.T) {
	e, spec := testBox(t, "confined")
	box, err := e.Boot(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := box.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	for name, has := range map[string]struct{ permitted, inheritable string }{
		"runsc-sandbox": {"8001f", "0"},     // chown, dac_override, dac_read_search, fowner, fsetid, sys_ptrace
		"runsc-gofer":   {"4001f", "4001f"}, // sys_chroot instead of sys_ptrace
	} {
		want := map[string]string{
			"CapBnd": has.permitted, "CapPrm": has.permitted, "CapEff": has.permitted,
			"CapInh": has.inheritable, "CapAmb": has.inheritable, "NoNewPrivs": "1", "Seccomp": "2",
		}
		var why string
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if why = differs(name, e.config.StateDir, want); why == "" {
				break
			}
		}
		if why != "" {
			t.Error(why)
		}
	}
}

// differs names a thread of the process with this name and state folder whose
// status is not as wanted; "" when there is none.
func differs(name, state string, want map[string]string) string {
	threads := 0
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, c := range commands {
		line, _ := os.ReadFile(c)
		if !strings.HasPrefix(string(line), name+"\x00") || !strings.Contains(string(line), state) {
			continue
		}
		tasks, _ := filepath.Glob(filepath.Dir(c) + "/task/*/status")
		for _, task := range tasks {
			status, err := os.ReadFile(task)
			if err != nil {
				continue
			}
			threads++
			for field, value := range want {
				_, rest, _ := strings.Cut(string(status), "\n"+field+":")
				got, _, _ := strings.Cut(rest, "\n")
				if got = strings.TrimLeft(strings.TrimSpace(got), "0"); got != strings.TrimLeft(value, "0") {
					return fmt.Sprintf("%s, a thread of %s: %s %s, want %s", task, name, field, got, value)
				}
			}
		}
	}
	if threads == 0 {
		return "no process named " + name
	}
	return ""
}

// TestEntry: bulkhead-runsc starts where package entry of gvisor/ says. The
// process that unmounts /proc waits for its word with one thread: Go has more.
func TestEntry(t *testing.T) {
	ours, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	cmd := exec.CommandContext(t.Context(), testbin.Path(t, "bulkhead-runsc"), "umount", "--sync-fd=3", "/proc")
	cmd.ExtraFiles = []*os.File{ours}
	err = cmd.Start()
	_ = ours.Close()
	if err != nil {
		t.Fatal(err)
	}
	proc := fmt.Sprintf("/proc/%d/", cmd.Process.Pid)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		call, err := os.ReadFile(proc + "syscall")
		if err == nil && strings.HasPrefix(string(call), "0 0x3 ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not wait for its word: %q, %v", call, err)
		}
	}
	if status, err := os.ReadFile(proc + "status"); err != nil || !strings.Contains(string(status), "\nThreads:\t1\n") {
		t.Errorf("it started as Go does: %v\n%s", err, status)
	}
	// Without the word it unmounts nothing, and says so.
	_ = theirs.Close()
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("it ended with %v, want 1", cmd.ProcessState)
	}
}
