//go:build linux

package gvisor

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
	"github.com/bulkhead-dev/bulkhead/sandbox"
	"github.com/bulkhead-dev/bulkhead/sandbox/sandboxtest"
)

// kvmAtMost is how long a probe that fails may take on a busy machine, its
// clean-up included.
const kvmAtMost = kvmTimeout + 5*time.Second

// TestProbeKVM: on this machine KVM works, or is refused in time with the reason
// and the next step.
func TestProbeKVM(t *testing.T) {
	e := New(Config{Supervisor: testbin.Path(t, "bulkhead-runsc"), StateDir: t.TempDir(), Platform: KVM})
	start := time.Now()
	err := e.Probe(t.Context())
	t.Logf("after %s: %v", time.Since(start), err)
	if took := time.Since(start); took > kvmAtMost {
		t.Errorf("it took %s", took)
	}
	if err != nil && (!errors.Is(err, sandbox.ErrUnavailable) ||
		!strings.HasPrefix(err.Error(), "engine gvisor: kvm does not work here: ") || !strings.Contains(fault.Hint(err), "--platform systrap")) {
		t.Errorf("refused with %v (hint %q)", err, fault.Hint(err))
	}
	nothingLeft(t, e.config.StateDir)
}

// TestProbeProgram: what the probe does works where the platform does.
func TestProbeProgram(t *testing.T) {
	e := New(Config{Supervisor: testbin.Path(t, "bulkhead-runsc"), StateDir: t.TempDir()})
	if err := e.tryKVM(t.Context()); err != nil {
		t.Error(err)
	}
	nothingLeft(t, e.config.StateDir)
}

// TestProbeHangs: a supervisor and a child of it that hang, deaf to their
// lifeline, are killed.
func TestProbeHangs(t *testing.T) {
	dir := t.TempDir()
	// Processes of a supervisor are known by the name of their program.
	shell, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	interpreter, supervisor, pipe := filepath.Join(dir, "shell", "bulkhead-runsc"), filepath.Join(dir, "bulkhead-runsc"), filepath.Join(dir, "pipe")
	script := "#!" + interpreter + "\nexec 7<>" + pipe + "\n(read never <&7) &\nread never <&7\n"
	if err := errors.Join(os.Mkdir(filepath.Dir(interpreter), 0o755), os.WriteFile(interpreter, shell, 0o755),
		os.WriteFile(supervisor, []byte(script), 0o755), unix.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	e := New(Config{Supervisor: supervisor, StateDir: t.TempDir(), Platform: KVM})
	start := time.Now()
	if err := e.tryKVM(t.Context()); !errors.Is(err, errNoProgram) {
		t.Errorf("error %v, want %v", err, errNoProgram)
	}
	if took := time.Since(start); took > kvmAtMost {
		t.Errorf("it took %s", took)
	}
	nothingLeft(t, e.config.StateDir)
}

func nothingLeft(t *testing.T, state string) {
	t.Helper()
	entries, err := os.ReadDir(state)
	if err != nil || len(entries) > 0 {
		t.Errorf("left in the state folder: %v, %v", entries, err)
	}
	if left := sandboxtest.Traces(state); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
