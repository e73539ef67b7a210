//go:build linux

package keeper

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

// TestContainers: who waits for a container is told how it is, and that its
// sandbox is gone.
func TestContainers(t *testing.T) {
	s := NewStore(t.TempDir())
	state := State{Name: "box", ID: "run-1", Boundary: boundary.UserKernel, Apart: true, Containers: []Container{{"first", pod.Init, ContainerWaiting}, {"second", pod.Main, ContainerWaiting}}}
	entry, err := s.create(state)
	if err != nil {
		t.Fatal(err)
	}
	k := &keeper{dir: entry.dir, state: state}
	e, err := s.Find("box")
	if err != nil {
		t.Fatal(err)
	}
	for container, want := range map[string]string{"": "guest.sock", "first": "c0.sock", "second": "c1.sock"} {
		if got := filepath.Base(e.GuestSocket(container)); got != want {
			t.Errorf("socket of %q: %s, want %s", container, got, want)
		}
	}
	e.Apart = false
	if got := filepath.Base(e.GuestSocket("second")); got != "guest.sock" {
		t.Errorf("socket of a container that shares the guest agent: %s", got)
	}

	over, cancel := context.WithCancel(t.Context())
	cancel()
	if c, err := s.AwaitContainer(over, e, "first"); err == nil {
		t.Errorf("a container that waits: %+v", c)
	}
	if s.AwaitEnd(over, e, "first") == nil {
		t.Error("a container that waits has ended")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, status := range []ContainerStatus{ContainerRunning, ContainerEnded} {
		if err := k.note("second", status); err != nil {
			t.Fatal(err)
		}
		if c, err := s.AwaitContainer(ctx, e, "second"); err != nil || c.Status != status {
			t.Errorf("a container that is %s: %+v, %v", status, c, err)
		}
	}
	if err := s.AwaitEnd(ctx, e, "second"); err != nil {
		t.Errorf("a container that ended: %v", err)
	}
	if s.AwaitEnd(over, e, "") == nil {
		t.Error("the sandbox ended with one of its containers")
	}

	entry.lock.Close()
	if err := s.AwaitEnd(ctx, e, "first"); err != nil {
		t.Errorf("a sandbox that ended: %v", err)
	}
	if c, err := s.AwaitContainer(ctx, e, "first"); err == nil {
		t.Errorf("a container whose sandbox is gone: %+v", c)
	}
}
