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
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

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
	// endTimeout bounds the wait for why a sandbox ended, once its stream did.
	endTimeout = 5 * time.Second
	// patience is how many interrupts a command may ignore.
	patience = 3
)

// Place is a sandbox that is to be booted.
type Place struct {
	Engine sandbox.Engine
	Spec   sandbox.Spec
	// Pod are the containers that join the sandbox; nil: none, and commands run
	// in the sandbox itself. Only a sandbox.PodEngine can have some.
	Pod *sandbox.Pod
	// Minimum is the weakest boundary that a command may run behind.
	Minimum boundary.Boundary
	// Egress is what commands may reach; nil: nothing, and there is no way out.
	Egress *egress.Proxy
}

// Execution is one command in a sandbox.
type Execution struct {
	Command agent.Command
	// Timeout bounds the command's wall time; 0: unbounded.
	Timeout time.Duration
	// OutputBytes bounds the command's output; 0: unbounded. Beyond it the
	// command ends with ErrOutput.
	OutputBytes int64
	// Signals are passed on to the command; nil: none. While the sandbox
	// boots, the first one ends it.
	Signals <-chan os.Signal
	// Resizes are new sizes of the command's terminal; nil: none.
	Resizes <-chan agent.Size
	// Started is called with the command once it runs; nil: nobody is told.
	Started func(*agent.Process)
}

// Request is one command in one sandbox.
type Request struct {
	Place
	Execution
}

// Result is how a run ended.
type Result struct {
	// ExitCode is the command's, 128+n for signal n, or 124 when Timeout was over.
	ExitCode int
	// Guest is what the guest agent saw of its kernel before the command started.
	Guest agentapi.Identity
	// OOMKilled: the command was ended by SIGKILL, and the kernel killed
	// processes of the sandbox for its limit of memory.
	OOMKilled bool
}

// Box is a sandbox that was booted, or a container that joined one, and whose
// boundary was checked.
type Box struct {
	Sandbox sandbox.Sandbox
	Client  *agent.Client
	// Guest is what the guest agent saw of its kernel before any command started.
	Guest    agentapi.Identity
	boundary boundary.Boundary // what it has to be behind
	egress   *egress.Proxy     // nil: there is no way out
	way      *Way              // nil: it is not served here
	held     *os.File          // nil: the root file system needs no lock
}

// Boot boots a sandbox and checks that the boundary is the one that was asked
// for. On error nothing of it is left. ctx bounds the boot, together with a limit.
func Boot(ctx context.Context, place Place) (*Box, error) {
	if !place.Engine.Boundary().Satisfies(place.Minimum) {
		return nil, fault.WithHint(
			fmt.Errorf("engine %s gives %s, and at least %s is required: %w", place.Engine.Name(), place.Engine.Boundary(), place.Minimum, sandbox.ErrBoundary),
			"choose an engine that gives it (--engine), or accept less in so many words (--min-boundary, or a waiver for a manifest)")
	}
	if err := place.Engine.Probe(ctx); err != nil {
		return nil, err
	}
	box := &Box{boundary: place.Engine.Boundary(), egress: place.Egress}
	return box, box.start(ctx, place.Spec, place.Egress, func(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
		place.Spec = spec
		return boot(ctx, place)
	})
}

func boot(ctx context.Context, place Place) (sandbox.Sandbox, error) {
	if place.Pod == nil {
		return place.Engine.Boot(ctx, place.Spec)
	}
	engine, ok := place.Engine.(sandbox.PodEngine)
	if !ok {
		return nil, fmt.Errorf("engine %s cannot keep containers of one sandbox apart: %w", place.Engine.Name(), sandbox.ErrUnavailable)
	}
	return engine.BootPod(ctx, place.Spec, *place.Pod)
}

// Join starts a container in the sandbox, and checks that it is behind the
// sandbox's boundary. It reaches what the sandbox reaches, over the sandbox's way
// out. On error nothing of it is left. ctx bounds the start, together with a limit.
func (b *Box) Join(ctx context.Context, spec sandbox.Spec) (*Box, error) {
	box, ok := b.Sandbox.(sandbox.PodSandbox)
	if !ok {
		return nil, fmt.Errorf("sandbox %s takes no containers: %w", b.Sandbox.ID(), sandbox.ErrUnavailable)
	}
	c := &Box{boundary: b.boundary, egress: b.egress}
	return c, c.start(ctx, spec, nil, box.Join)
}

// start makes the box from spec by boot, with its root file system held, and
// opens it. ctx bounds that, together with a limit.
func (b *Box) start(ctx context.Context, spec sandbox.Spec, serve *egress.Proxy, boot func(context.Context, sandbox.Spec) (sandbox.Sandbox, error)) (err error) {
	ctx, stop := context.WithTimeout(ctx, bootTimeout)
	defer stop()
	if b.held, err = Hold(spec.Root); err != nil {
		return err
	}
	if b.egress != nil {
		spec.Env = slices.Concat(egressEnv(b.egress), spec.Env)
	}
	if b.Sandbox, err = boot(ctx, spec); err != nil {
		return errors.Join(err, release(b.held))
	}
	return b.open(ctx, serve)
}

// open connects to the guest agent, checks what it runs on, and serves a way out
// unless proxy is nil. On error nothing of the sandbox is left.
func (b *Box) open(ctx context.Context, proxy *egress.Proxy) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Sandbox.Err(), b.Close(ctx))
		}
	}()
	if b.Client, err = agent.NewClient(b.Sandbox.Stream()); err != nil {
		return err
	}
	if b.Guest, err = b.Client.Identity(ctx); err != nil {
		return err
	}
	if err = Verify(b.boundary, b.Guest); err != nil {
		return err
	}
	if proxy != nil {
		b.way, err = OpenEgress(ctx, b.Client, proxy)
	}
	return err
}

// Close destroys the sandbox, or ends the container, even when ctx is over, and waits for it.
func (b *Box) Close(ctx context.Context) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer stop()
	if b.way != nil {
		b.way.Close()
	}
	if b.Client != nil {
		_ = b.Client.Close()
	}
	return errors.Join(b.Sandbox.Close(ctx), release(b.held))
}

// Hold locks a root file system for as long as the file is open, so that nobody
// removes it; nil: it needs no lock. The kernel ends the lock with this process.
func Hold(root sandbox.Root) (*os.File, error) {
	if root.Hold == "" {
		return nil, nil
	}
	f, err := os.Open(root.Hold)
	if err == nil {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB); err == nil {
			return f, nil
		}
		err = errors.Join(err, f.Close())
	}
	return nil, fault.WithHint(fmt.Errorf("keeping the root file system: %w", err), "it was removed meanwhile: try again")
}

func release(held *os.File) error {
	if held == nil {
		return nil
	}
	return held.Close()
}

// Run boots a sandbox, runs the command and destroys the sandbox, whatever
// happens. It returns an error only when Bulkhead could not do its part: how
// the command ended is in the Result.
func Run(ctx context.Context, req Request) (result Result, err error) {
	return Use(ctx, req.Place, req.Signals, func(ctx context.Context, box *Box) (int, error) {
		return Exec(ctx, box.Client, req.Execution)
	})
}

// Use boots a sandbox, has use do its work there, and destroys the sandbox,
// whatever happens. The first of signals ends the boot; use takes those that
// come after it. use returns the exit code.
func Use(ctx context.Context, place Place, signals <-chan os.Signal, use func(context.Context, *Box) (int, error)) (result Result, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	interrupts := newInterrupts(signals, cancel)
	box, err := Boot(ctx, place)
	interrupts.stop()
	if box != nil {
		result.Guest = box.Guest
	}
	if err != nil {
		return result, interrupted(ctx, err)
	}
	defer func() { err = errors.Join(err, box.Close(ctx)) }()
	result.ExitCode, err = use(ctx, box)
	if errors.Is(err, agent.ErrLost) {
		err = box.Lost(err)
	}
	if err != nil {
		err = interrupted(ctx, err)
	}
	if counter, ok := box.Sandbox.(sandbox.OOMCounter); ok && result.ExitCode == fault.Memory {
		result.OOMKilled = counter.OOMKills() > 0
	}
	return result, err
}

// Lost completes the error of a lost stream by why the sandbox ended. The stream
// ends first: it waits a moment for the end.
func (b *Box) Lost(err error) error {
	select {
	case <-b.Sandbox.Done():
	case <-time.After(endTimeout):
	}
	end := b.Sandbox.Err()
	if errors.Is(end, sandbox.ErrMemory) {
		return end
	}
	return errors.Join(err, end)
}

// Exec runs one command in a sandbox that somebody else booted, and returns its
// exit code as Run does.
func Exec(ctx context.Context, client *agent.Client, e Execution) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	interrupts := newInterrupts(e.Signals, cancel)
	defer interrupts.stop()
	return execute(ctx, client, e, interrupts)
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

func execute(ctx context.Context, client *agent.Client, req Execution, interrupts *interrupts) (int, error) {
	if req.Timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, req.Timeout, errTimeout)
		defer stop()
	}
	if req.OutputBytes > 0 {
		both := Bound(req.OutputBytes, req.Command.Stdout, req.Command.Stderr)
		req.Command.Stdout, req.Command.Stderr = both[0], both[1]
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
	if req.Started != nil {
		req.Started(p)
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
