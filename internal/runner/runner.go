//go:build linux

// Package runner runs one command in a sandbox of its own: boot, check that the
// boundary is the one that was asked for, run, destroy. It is what `bulkhead
// run` and the demo do, whatever the engine.
package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/agentapi"
	"github.com/bulkhead-dev/bulkhead/internal/egress"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/version"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

const (
	// bootTimeout bounds the time until the guest agent answers.
	bootTimeout = 30 * time.Second
	// closeTimeout bounds the wait for a sandbox's destruction.
	closeTimeout = 20 * time.Second
	// patience is how many interrupts a command may ignore.
	patience = 3
)

// Request is one command in one sandbox.
type Request struct {
	Engine sandbox.Engine
	Spec   sandbox.Spec
	// Minimum is the weakest boundary that the command may run behind.
	Minimum boundary.Boundary
	Command agent.Command
	// Egress is what the command may reach; nil: nothing, and there is no way out.
	Egress *egress.Proxy
	// Timeout bounds the command's wall time; 0: unbounded.
	Timeout time.Duration
	// Signals are passed on to the command; nil: none. While the sandbox
	// boots, the first one ends it.
	Signals <-chan os.Signal
	// Resizes are new sizes of the command's terminal; nil: none.
	Resizes <-chan agent.Size
}

// Result is how a run ended.
type Result struct {
	// ExitCode is the command's, 128+n for signal n, or 124 when Timeout was over.
	ExitCode int
	// Guest is what the guest agent saw of its kernel before the command started.
	Guest agentapi.Identity
}

// Run boots a sandbox, runs the command and destroys the sandbox, whatever
// happens. It returns an error only when Bulkhead could not do its part: how
// the command ended is in the Result.
func Run(ctx context.Context, req Request) (result Result, err error) {
	if !req.Engine.Boundary().Satisfies(req.Minimum) {
		return Result{}, fault.WithHint(
			fmt.Errorf("engine %s gives %s, and at least %s is required: %w", req.Engine.Name(), req.Engine.Boundary(), req.Minimum, sandbox.ErrBoundary),
			"choose an engine that gives it (--engine), or accept less in so many words (--min-boundary, or a waiver for a manifest)")
	}
	if err := req.Engine.Probe(ctx); err != nil {
		return Result{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	interrupts := newInterrupts(req.Signals, cancel)
	defer interrupts.stop()

	bootCtx, stopBoot := context.WithTimeout(ctx, bootTimeout)
	defer stopBoot()
	box, err := req.Engine.Boot(bootCtx, req.Spec)
	if err != nil {
		return Result{}, interrupted(ctx, err)
	}
	defer func() {
		closeCtx, stop := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer stop()
		err = errors.Join(err, box.Close(closeCtx))
	}()
	client, err := agent.NewClient(box.Stream())
	if err != nil {
		return Result{}, err
	}
	defer client.Close()
	guest, err := client.Identity(bootCtx)
	if err != nil {
		return Result{}, interrupted(ctx, errors.Join(err, box.Err()))
	}
	result.Guest = guest
	if err := Verify(req.Engine.Boundary(), guest); err != nil {
		return result, err
	}
	if req.Egress != nil {
		way, err := OpenEgress(bootCtx, client, req.Egress)
		if err != nil {
			return result, errors.Join(err, box.Err())
		}
		defer way.Close()
		req.Command.Env = append(egressEnv(req.Egress), req.Command.Env...)
	}
	result.ExitCode, err = execute(ctx, client, req, interrupts)
	if errors.Is(err, agent.ErrLost) {
		err = errors.Join(err, box.Err())
	}
	return result, err
}

// Verify compares the guest's identity, as the agent saw it before any other
// process ran, with the host's. A guest on the host's own kernel is refused
// behind any boundary that promises another one.
func Verify(claimed boundary.Boundary, guest agentapi.Identity) error {
	if guest.Version != version.String() {
		return fault.WithHint(fmt.Errorf("the guest agent is of version %q, bulkhead of %q", guest.Version, version.String()),
			"install all binaries from one release, or run `make build`")
	}
	if claimed == boundary.SharedKernel {
		return nil
	}
	host, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return fmt.Errorf("reading this kernel's identity: %w", err)
	}
	if guest.BootID == strings.TrimSpace(string(host)) {
		return fault.WithHint(fmt.Errorf("the sandbox claims %s and runs on this machine's own kernel: %w", claimed, sandbox.ErrBoundary),
			"nothing was run; report this: the engine did not do what it says")
	}
	return nil
}

func execute(ctx context.Context, client *agent.Client, req Request, interrupts *interrupts) (int, error) {
	if req.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, req.Timeout, errTimeout)
		defer stop()
	}
	p, err := client.Start(ctx, req.Command)
	if err != nil {
		switch {
		case ctx.Err() != nil:
			return ended(ctx)
		case errors.Is(err, agent.ErrNotFound):
			err = fault.WithHint(fault.WithCode(err, fault.NotFound), "the sandbox has the host's /usr; give a path for anything else, and mount it with -v")
		case errors.Is(err, agent.ErrNotExecutable):
			err = fault.WithCode(err, fault.NotExecutable)
		}
		return 0, err
	}
	interrupts.to(func(signal int) error { return p.Signal(ctx, signal) })
	go func() {
		for {
			select {
			case size := <-req.Resizes:
				_ = p.Resize(ctx, size)
			case <-ctx.Done():
				return
			}
		}
	}()
	exit, err := p.Wait(ctx)
	if err != nil && ctx.Err() != nil {
		return ended(ctx)
	}
	return exit.Code, err
}

// errTimeout is the cause when the command's wall time was over.
var errTimeout = errors.New("wall time over")

// signalError is the cause when a signal ended the run.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string { return "ended by " + e.signal.String() }

// ended turns the reason for which ctx ended into an exit code.
func ended(ctx context.Context) (int, error) {
	cause := context.Cause(ctx)
	if s, ok := errors.AsType[signalError](cause); ok {
		return 128 + int(s.signal), nil
	}
	if errors.Is(cause, errTimeout) {
		return fault.Timeout, nil
	}
	return 0, cause
}

// interrupted prefers the signal that ended a boot over what it did to it.
func interrupted(ctx context.Context, err error) error {
	if s, ok := errors.AsType[signalError](context.Cause(ctx)); ok {
		return fault.WithCode(s, 128+int(s.signal))
	}
	return err
}
