//go:build linux

package gvisor

import (
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/sandbox"
	"github.com/bulkhead-dev/bulkhead/sandbox/sandboxtest"
)

// TestPodKilled: when the supervisor is killed, its sandbox's containers end and
// leave nothing, the processes that open files for them included.
func TestPodKilled(t *testing.T) {
	const id = "pod-killed"
	e, spec := testBox(t, id)
	box, err := e.take(t.Context(), spec, sandbox.Pod{Containers: 3})
	if err != nil {
		t.Fatal(err)
	}
	var last sandbox.Sandbox
	for _, spec.ID = range []string{"first", "second"} {
		if last, err = box.Join(t.Context(), spec); err != nil {
			t.Fatal(err)
		}
	}
	if got := processes(t, e.config.StateDir, "runsc-gofer"); got != 3 {
		t.Errorf("%d processes open files for the sandbox and its containers, want 3", got)
	}
	if err := box.process.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-last.Done():
	case <-time.After(10 * time.Second):
		t.Error("a container does not end with its supervisor")
	}
	if err := box.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if left := sandboxtest.Traces(id); len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, ", "))
	}
	if _, err := box.Join(t.Context(), spec); err == nil {
		t.Error("a container joined a sandbox that is gone")
	}
}
