//go:build linux && amd64

package gvisor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/image"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/archive"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
	"github.com/bulkhead-dev/bulkhead/sandbox"
	"github.com/bulkhead-dev/bulkhead/sandbox/sandboxtest"
)

// bootParked boots a sandbox from an EROFS image and returns it with the process
// of its sentry, once its supervisor is parked.
func bootParked(t *testing.T, id string, limits sandbox.Limits) (box *running, sentry int) {
	t.Helper()
	return bootParkedBy(t, testbin.Path(t, "bulkhead-runsc"), id, limits)
}

// bootParkedBy does so with this supervisor.
func bootParkedBy(t *testing.T, supervisor, id string, limits sandbox.Limits) (box *running, sentry int) {
	t.Helper()
	root := erofsRoot(t)
	e := New(Config{Supervisor: supervisor, StateDir: t.TempDir()})
	e.parkAfter = time.Millisecond
	// A supervisor whose thread is busy stays as it is, and that is no failure.
	for attempt := 0; ; attempt++ {
		var err error
		box, err = e.take(t.Context(), sandbox.Spec{
			ID: id, Root: root, Agent: []string{image.AgentPath}, User: image.User(), Limits: limits,
			Tmpfs: []sandbox.Tmpfs{{Target: "/tmp", Mode: 0o1777, SizeBytes: 1 << 30}},
		}, sandbox.Pod{})
		if err != nil {
			t.Fatal(err)
		}
		if sentry = parkedSentry(t, box); sentry != 0 {
			break
		}
		if err := box.Close(t.Context()); err != nil || attempt == 2 {
			t.Fatalf("the supervisor does not park: %v; %s", err, box.stderr)
		}
	}
	t.Cleanup(func() {
		if err := box.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if left := sandboxtest.Traces(id); len(left) > 0 {
			t.Errorf("left behind: %s", strings.Join(left, ", "))
		}
		if _, err := os.Stat(box.folder.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the sandbox's folder is left: %v", err)
		}
	})
	return box, sentry
}

// parkedSentry waits until the supervisor is parked, and returns what it names as
// the sandbox's process; 0 when it does not park.
func parkedSentry(t *testing.T, box *running) (sentry int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", box.process.Pid))
		if _, rest, ok := strings.Cut(string(line), "\x00parked\x00--sentry\x00"); ok {
			if _, err := fmt.Sscan(strings.ReplaceAll(rest, "\x00", " "), &sentry); err != nil {
				t.Fatal(err)
			}
			return sentry
		}
	}
	return 0
}

// over waits for the end of a sandbox.
func over(t *testing.T, box *running) {
	t.Helper()
	select {
	case <-box.Done():
	case <-time.After(20 * time.Second):
		t.Error("the sandbox does not end")
	}
}

// overBySupervisor waits for the end of a sandbox, which its supervisor has to destroy.
func overBySupervisor(t *testing.T, box *running) {
	t.Helper()
	over(t, box)
	box.mu.Lock()
	defer box.mu.Unlock()
	if !box.said {
		t.Error("the supervisor did not destroy the sandbox itself")
	}
}

// TestParked: a supervisor that is parked takes no memory of its own to speak of,
// may do no more than before, and its sandbox goes on and ends in order.
func TestParked(t *testing.T) {
	box, _ := bootParked(t, "at-rest", sandbox.Limits{})
	client, err := agent.NewClient(box.Stream())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Identity(t.Context()); err != nil {
		t.Errorf("the guest agent of a sandbox whose supervisor is parked: %v", err)
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", box.process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	const anonymous = 100 // KiB: a stack, and the page that an ELF file's end shares with what follows it
	var got int
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	if _, err := fmt.Sscan(rest, &got); err != nil || got > anonymous {
		t.Errorf("it takes %d KiB, at most %d (%v)", got, anonymous, err)
	}
	dropped(t)
}

// TestParkedEnds: each way in which a sandbox ends whose supervisor is parked is
// told, and leaves nothing.
func TestParkedEnds(t *testing.T) {
	t.Run("its lifeline is cut", func(t *testing.T) {
		box, _ := bootParked(t, "at-rest-lifeline", sandbox.Limits{})
		if err := box.lifeline.Close(); err != nil {
			t.Fatal(err)
		}
		over(t, box)
		if box.Err() != nil {
			t.Errorf("it ended with %v", box.Err())
		}
	})
	t.Run("its program was replaced", func(t *testing.T) {
		program := filepath.Join(t.TempDir(), "bulkhead-runsc")
		testbin.Copy(t, testbin.Path(t, "bulkhead-runsc"), program)
		box, _ := bootParkedBy(t, program, "at-rest-replaced", sandbox.Limits{})
		if err := errors.Join(os.Remove(program), os.WriteFile(program, []byte("#!/bin/false\n"), 0o755)); err != nil {
			t.Fatal(err)
		}
		if err := box.lifeline.Close(); err != nil {
			t.Fatal(err)
		}
		overBySupervisor(t, box)
	})
	t.Run("its sentry is killed", func(t *testing.T) {
		box, sentry := bootParked(t, "at-rest-sentry", sandbox.Limits{})
		if err := syscall.Kill(sentry, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		over(t, box)
		if box.Err() == nil || !strings.Contains(box.Err().Error(), "status 0x9") {
			t.Errorf("it ended with %v, want the signal", box.Err())
		}
	})
	t.Run("it takes too much memory", func(t *testing.T) {
		limits := sandbox.Limits{MemoryBytes: 64 << 20}
		if err := sandbox.Check(New(Config{}), limits); err != nil {
			t.Skip(err)
		}
		box, _ := bootParked(t, "at-rest-memory", limits)
		client, err := agent.NewClient(box.Stream())
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "zeros")
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Truncate(file, 256<<20)); err != nil {
			t.Fatal(err)
		}
		read, write := io.Pipe()
		go func() {
			_, err := archive.Pack(write, file)
			_ = write.CloseWithError(err)
		}()
		if err := client.Upload(t.Context(), "/tmp", "zeros", read); err == nil {
			t.Error("the file was copied")
		}
		_ = read.Close()
		over(t, box)
		if !errors.Is(box.Err(), sandbox.ErrMemory) {
			t.Errorf("it ended with %v, want %v", box.Err(), sandbox.ErrMemory)
		}
	})
	t.Run("its guest agent ends", func(t *testing.T) {
		box, _ := bootParked(t, "at-rest-agent", sandbox.Limits{})
		if err := box.stream.Close(); err != nil {
			t.Fatal(err)
		}
		over(t, box)
		if box.Err() != nil {
			t.Errorf("it ended with %v", box.Err())
		}
	})
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			box, _ := bootParked(t, fmt.Sprintf("at-rest-signal-%d", s), sandbox.Limits{})
			if err := box.process.Signal(s); err != nil {
				t.Fatal(err)
			}
			overBySupervisor(t, box)
		})
	}
	t.Run("it is killed", func(t *testing.T) {
		box, sentry := bootParked(t, "at-rest-killed", sandbox.Limits{})
		if err := box.process.Kill(); err != nil {
			t.Fatal(err)
		}
		over(t, box)
		for deadline := time.Now().Add(20 * time.Second); syscall.Kill(sentry, 0) == nil; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the sentry goes on without its supervisor")
			}
		}
	})
}

// TestParkedUnprivileged: nothing of that needs root.
func TestParkedUnprivileged(t *testing.T) {
	out := sandboxtest.AsUnprivileged(t, "TestParkedEnds")
	if !strings.Contains(string(out), "--- PASS: TestParkedEnds/its_sentry_is_killed") {
		t.Errorf("it was not tried:\n%s", out)
	}
}
