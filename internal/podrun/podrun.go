// Package podrun runs the containers of a pod in a sandbox that is up: init
// containers in order, sidecars, restarts, probes and hooks, as the kubelet
// does it. Each container is a command of the sandbox's guest agent, or of one
// of its own; what comes from it is hostile.
package podrun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

// Request is a pod that is to be run.
type Request struct {
	// Pod is what to run; each container has a command.
	Pod *pod.Pod
	// Join starts a container of its own for one of the pod's, whose command,
	// hooks and probes run there. leave ends it. nil: all of them run in the
	// sandbox itself.
	Join func(context.Context, pod.Container) (client *agent.Client, leave func() error, err error)
	// Running is called with the command of a container once it runs, and with nil
	// once it ended; nil: nobody is told.
	Running func(pod.Container, *agent.Process)
	// Output is where a container's output goes.
	Output func(pod.Container) (stdout, stderr io.Writer)
	// Notice tells what happens. Parts of it are the guest's words: hostile.
	Notice func(message string)
	// Stdin and Terminal are for the only main container; nil: none.
	Stdin    io.Reader
	Terminal *agent.Size
	// Signals end the pod in order (SIGINT, SIGTERM; a second one at once) or
	// are passed on to its main containers; nil: none.
	Signals <-chan os.Signal
	// Resizes are new sizes of the terminal; nil: none.
	Resizes <-chan agent.Size
	// UntilReady ends the pod with code 0 as soon as all of it is ready.
	UntilReady bool
	// Backoff is the wait before the first restart; each next one is twice as
	// long, up to maxBackoff. 0: as the kubelet, 10 seconds.
	Backoff time.Duration
}

const (
	defaultBackoff = 10 * time.Second
	maxBackoff     = 5 * time.Minute
)

// Run runs the pod and returns its exit code: that of its first main container
// that failed, of an init container that did, 128+n when signal n ended it, or
// 124 when its deadline was over. An error means that Bulkhead could not do its
// part. It returns when the pod's containers ended or ctx is over; the caller
// then closes the sandbox.
func Run(ctx context.Context, client *agent.Client, req Request) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if req.Pod.Deadline > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, req.Pod.Deadline, errDeadline)
		defer stop()
	}
	r := &run{
		Request: req, client: client, cancel: cancel,
		stopping: make(chan struct{}), mainsEnded: make(chan struct{}), isReady: make(chan struct{}),
	}
	for i := range req.Pod.Containers {
		r.containers = append(r.containers, &container{Container: req.Pod.Containers[i], ended: make(chan struct{}), up: make(chan struct{})})
	}
	go r.listen(ctx)
	code := r.inOrder(ctx)
	if req.UntilReady {
		r.sayNotReady()
	}
	if cause := context.Cause(ctx); cause != nil {
		return endedBy(cause, req)
	}
	return code, nil
}

var errDeadline = errors.New("the pod's deadline was over")

// endedBy turns the reason for which a pod was cut off into an exit code.
func endedBy(cause error, req Request) (int, error) {
	if s, ok := errors.AsType[signalError](cause); ok {
		return 128 + int(s.signal), nil
	}
	if errors.Is(cause, errDeadline) {
		req.Notice(fmt.Sprintf("ended after %s", req.Pod.Deadline))
		return fault.Timeout, nil
	}
	return 0, cause
}

// signalError is the cause when a signal cut the pod off.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string { return "ended by " + e.signal.String() }

// run is a pod that runs.
type run struct {
	Request
	client     *agent.Client
	cancel     context.CancelCauseFunc
	containers []*container
	stopping   chan struct{} // closed when the pod is to end in order
	mainsEnded chan struct{}
	isReady    chan struct{} // closed when UntilReady was reached
	stopOnce   sync.Once
	readyOnce  sync.Once
	signal     atomic.Int32 // the signal that the pod is ended with; 0: SIGTERM
}

// stop has the pod end in order.
func (r *run) stop() { r.stopOnce.Do(func() { close(r.stopping) }) }

func (r *run) ending() bool {
	select {
	case <-r.stopping:
		return true
	default:
		return false
	}
}

func (r *run) say(format string, args ...any) { r.Notice(fmt.Sprintf(format, args...)) }

// inOrder starts the containers, waits for their ends and returns the pod's
// exit code.
func (r *run) inOrder(ctx context.Context) (code int) {
	var started []*container
	for _, c := range r.containers {
		if r.ending() || ctx.Err() != nil {
			break
		}
		if c.Role == pod.Init {
			r.supervise(ctx, c)
			if code = c.code; code != 0 {
				r.say("init container %s failed with exit code %d", c.Name, code)
				r.stop()
			}
			continue
		}
		started = append(started, c)
		go r.supervise(ctx, c)
		if c.Role == pod.Sidecar {
			select {
			case <-c.up:
			case <-r.stopping:
			case <-ctx.Done():
			}
		}
	}
	for _, c := range started {
		if c.Role == pod.Main {
			<-c.ended
			code = cmp.Or(code, c.code)
		}
	}
	close(r.mainsEnded)
	r.stop()
	for _, c := range started {
		<-c.ended
	}
	select {
	case <-r.isReady:
		return 0
	default:
		return code
	}
}

// listen passes signals on, and turns those that ask for an end into one.
func (r *run) listen(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case s := <-r.Signals:
			sig, ok := s.(syscall.Signal)
			if !ok {
				continue
			}
			if sig != syscall.SIGINT && sig != syscall.SIGTERM {
				r.forward(ctx, sig)
				continue
			}
			if r.ending() {
				r.cancel(signalError{sig})
				return
			}
			r.signal.Store(int32(sig))
			r.stop()
		case size := <-r.Resizes:
			for _, c := range r.containers {
				if p := c.process(); p != nil && c.Role == pod.Main {
					_ = p.Resize(ctx, size)
				}
			}
		}
	}
}

func (r *run) forward(ctx context.Context, sig syscall.Signal) {
	for _, c := range r.containers {
		if p := c.process(); p != nil && c.Role == pod.Main {
			_ = p.Signal(ctx, int(sig))
		}
	}
}

// restarts reports whether a container that ended with code is started again.
func (r *run) restarts(c *container, code int) bool {
	if r.ending() {
		return false
	}
	if c.Role == pod.Sidecar {
		return true
	}
	switch r.Pod.Restart {
	case pod.RestartAlways:
		return c.Role == pod.Main || code != 0
	case pod.RestartOnFailure:
		return code != 0
	default:
		return false
	}
}
