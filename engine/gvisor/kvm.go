//go:build linux

package gvisor

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/engine/folder"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// kvmTimeout bounds the proof that KVM works.
const kvmTimeout = 2500 * time.Millisecond

// errNoProgram: the time for the proof was over.
var errNoProgram = fmt.Errorf("no program ran in a sandbox within %s", kvmTimeout)

// probeKVM runs a program in a sandbox on KVM. Less proves nothing: where
// virtualisation is nested, /dev/kvm may open and the guest's code never run.
func (e *Engine) probeKVM(ctx context.Context) error {
	if e.kvmRan.Load() {
		return nil
	}
	device, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err == nil {
		_ = device.Close()
		err = e.tryKVM(ctx)
	}
	if err != nil {
		return fault.WithHint(fmt.Errorf("engine gvisor: kvm does not work here: %w: %w", err, sandbox.ErrUnavailable),
			"take --platform systrap, which needs no KVM; on a virtual machine, KVM needs nested virtualisation")
	}
	e.kvmRan.Store(true)
	return nil
}

// tryKVM boots a sandbox, whose only program is the supervisor's own binary, and
// waits for its output. Nothing of it is left, whatever hangs.
func (e *Engine) tryKVM(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, kvmTimeout, errNoProgram)
	defer cancel()
	program, err := filepath.Abs(e.config.Supervisor)
	if err != nil {
		return err
	}
	id := "kvm-" + strings.ToLower(rand.Text()[:10])
	own, err := folder.Take(e.config.StateDir, e.Name(), id)
	if err != nil {
		return err
	}
	root := filepath.Join(own.Dir, "empty")
	if err := os.Mkdir(root, 0o755); err != nil {
		return errors.Join(err, own.Remove())
	}
	s, err := e.boot(ctx, own, sandbox.Spec{
		ID: id, Root: sandbox.Root{Dir: root},
		Mounts: []sandbox.Mount{{Source: program, Target: "/program"}},
		Agent:  []string{"/program", "--version"},
	}, sandbox.Pod{})
	if err != nil {
		return errors.Join(cmp.Or(context.Cause(ctx), err), own.Remove())
	}
	ran := make(chan error, 1)
	go func() { ran <- programRan(s.Stream()) }()
	select {
	case err = <-ran:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	return errors.Join(err, s.abandon(), s.Close(context.WithoutCancel(ctx)))
}

// programRan reports whether the program's output came out of the sandbox.
func programRan(output io.Reader) error {
	text, _ := io.ReadAll(io.LimitReader(output, 4<<10))
	if !strings.HasPrefix(string(text), "runsc version") {
		return errors.New("a program in a sandbox did not run")
	}
	return nil
}
