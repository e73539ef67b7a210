//go:build linux

package gvisor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/image"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// testBox returns an engine and what a sandbox of the host's toolchain is made from.
func testBox(t *testing.T, id string) (*Engine, sandbox.Spec) {
	t.Helper()
	root, err := image.Toolchain(t.Context(), t.TempDir(), testbin.Path(t, "bulkhead-guest"))
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Supervisor: testbin.Path(t, "bulkhead-runsc"), StateDir: t.TempDir()}),
		sandbox.Spec{ID: id, Root: root, Agent: []string{image.AgentPath}, User: image.User()}
}

// TestSupervisorDropsPrivileges: while a sandbox runs, no thread of its
// supervisor has more than the sandbox's end takes.
func TestSupervisorDropsPrivileges(t *testing.T) {
	e, spec := testBox(t, "dropped")
	box, err := e.Boot(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := box.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	dropped(t)
}

// dropped fails when the supervisor goes on to have more than the end of a sandbox takes.
func dropped(t *testing.T) {
	t.Helper()
	// sys_admin, kill, dac_override, dac_read_search, fowner
	const most = 1<<21 | 1<<5 | 1<<1 | 1<<2 | 1<<3
	var why string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if why = excess(t, most); why == "" {
			return
		}
	}
	t.Error(why)
}

// TestSupervisorDropsPrivilegesLast: where containers join the sandbox, its
// supervisor has what starting them takes until the last one was started.
func TestSupervisorDropsPrivilegesLast(t *testing.T) {
	e, spec := testBox(t, "dropped-last")
	box, err := e.BootPod(t.Context(), spec, sandbox.Pod{Containers: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := box.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	for _, spec.ID = range []string{"first", "last"} {
		if _, err := box.Join(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	dropped(t)
}

// excess names a thread of this process's supervisor with more than most; "" when none has.
func excess(t *testing.T, most uint64) string {
	t.Helper()
	threads := 0
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", os.Getpid()))
	for _, c := range children {
		pids, _ := os.ReadFile(c)
		for pid := range strings.FieldsSeq(string(pids)) {
			tasks, _ := filepath.Glob("/proc/" + pid + "/task/*/status")
			for _, task := range tasks {
				status, err := os.ReadFile(task)
				if err != nil || !strings.Contains(string(status), "bulkhead-runsc") {
					continue
				}
				threads++
				for _, field := range []string{"CapEff:", "CapPrm:"} {
					var has uint64
					_, rest, _ := strings.Cut(string(status), field)
					if _, err := fmt.Sscanf(strings.TrimSpace(rest), "%x", &has); err != nil || has&^most != 0 {
						return fmt.Sprintf("%s: %s %x, at most %x (%v)", task, field, has, most, err)
					}
				}
				if !strings.Contains(string(status), "NoNewPrivs:\t1") {
					return task + ": it may gain privileges"
				}
			}
		}
	}
	if threads == 0 {
		return "no supervisor was found"
	}
	return ""
}
