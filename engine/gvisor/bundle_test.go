//go:build linux

package gvisor_test

import (
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/engine/folder"
	"github.com/bulkhead-dev/bulkhead/engine/gvisor"
	"github.com/bulkhead-dev/bulkhead/engine/gvisor/wire"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// TestBundleRefused: the supervisor is started before the bundle is written. When
// that fails, nothing is left of it.
func TestBundleRefused(t *testing.T) {
	state := t.TempDir()
	engine := gvisor.New(gvisor.Config{Supervisor: testbin.Path(t, "bulkhead-runsc"), StateDir: state})
	_, err := engine.Boot(t.Context(), sandbox.Spec{
		ID: "box", Root: sandbox.Root{Dir: t.TempDir()}, Agent: []string{"/agent"},
		Mounts: []sandbox.Mount{{Source: filepath.Join(t.TempDir(), "none"), Target: "/mnt"}},
	})
	refused(t, err, "mounting at /mnt", "mount a file or folder that exists", fs.ErrNotExist)
	empty(t, state)
	if out, _ := exec.CommandContext(t.Context(), "pgrep", "-f", state).Output(); len(out) > 0 {
		t.Errorf("processes are left: %s", out)
	}
}

// TestNoBundle: a supervisor whose engine dies before the bundle is complete boots
// nothing, whatever is in the folder, and removes it.
func TestNoBundle(t *testing.T) {
	state := t.TempDir()
	own, err := folder.Take(state, "gvisor", "box")
	if err != nil {
		t.Fatal(err)
	}
	lifelineGuest, lifeline, err1 := os.Pipe()
	events, eventsGuest, err2 := os.Pipe()
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	cmd := exec.CommandContext(t.Context(), testbin.Path(t, "bulkhead-runsc"), wire.Verb, "--bundle", own.Dir, "--id", "box", "--state", filepath.Join(own.Dir, "state"))
	cmd.ExtraFiles = make([]*os.File, wire.LockFD+1-wire.LifelineFD)
	cmd.ExtraFiles[0], cmd.ExtraFiles[wire.EventsFD-wire.LifelineFD], cmd.ExtraFiles[wire.LockFD-wire.LifelineFD] = lifelineGuest, eventsGuest, own.Lock
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _, _ = lifelineGuest.Close(), eventsGuest.Close(), lifeline.Close()
	said, err := io.ReadAll(events)
	if err != nil || !strings.Contains(string(said), `"kind":"failed"`) || !strings.Contains(string(said), "there is no bundle") {
		t.Errorf("%v: the supervisor said %s", err, said)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the supervisor ended well")
	}
	empty(t, state)
}
