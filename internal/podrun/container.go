package podrun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

// killTimeout bounds the wait for a command after SIGKILL: the guest may say
// nothing of its end.
const killTimeout = 5 * time.Second

// container is one container of a pod that runs.
type container struct {
	pod.Container
	client *agent.Client // of the guest agent that runs its commands
	ended  chan struct{} // closed when it is not started again
	up     chan struct{} // closed when it was started once, startup probe included
	upOnce sync.Once
	code   int // its last exit code; to be read once ended is closed

	mu      sync.Mutex
	current *agent.Process // nil: it does not run
	ready   bool
	why     string // why it is not ready
	done    bool   // it ended with code 0 and is not started again
}

func (c *container) process() *agent.Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

// runs notes which command a container runs; nil: none.
func (r *run) runs(c *container, p *agent.Process) {
	c.mu.Lock()
	c.current = p
	c.mu.Unlock()
	if r.Running != nil {
		r.Running(c.Container, p)
	}
}

// supervise runs a container again and again, as the pod's policy says.
func (r *run) supervise(ctx context.Context, c *container) {
	defer close(c.ended)
	leave, err := r.join(ctx, c)
	if err != nil {
		r.cancel(fmt.Errorf("container %s: %w", c.Name, err))
		return
	}
	defer func() {
		if err := leave(); err != nil {
			r.cancel(fmt.Errorf("container %s: %w", c.Name, err))
		}
	}()
	first := cmp.Or(r.Backoff, defaultBackoff)
	backoff := first
	for {
		began := time.Now()
		code, err := r.once(ctx, c)
		r.runs(c, nil)
		c.code = code
		if ctx.Err() == nil && !r.ending() {
			r.setReady(c, false, "it ended")
		}
		if err != nil {
			r.cancel(fmt.Errorf("container %s: %w", c.Name, err))
			return
		}
		if !r.restarts(c, code) {
			r.settled(c, code)
			return
		}
		if time.Since(began) > 2*maxBackoff {
			backoff = first
		}
		r.say("container %s ended with exit code %d, and is started again in %s", c.Name, code, backoff)
		select {
		case <-time.After(backoff):
			backoff = min(2*backoff, maxBackoff)
		case <-r.stopping:
			return
		case <-ctx.Done():
			return
		}
	}
}

// join finds the guest agent that runs a container's commands.
func (r *run) join(ctx context.Context, c *container) (leave func() error, err error) {
	if r.Join == nil {
		c.client = r.client
		return func() error { return nil }, nil
	}
	c.client, leave, err = r.Join(ctx, c.Container)
	return leave, err
}

// settled is called when a container ended for good.
func (r *run) settled(c *container, code int) {
	c.mu.Lock()
	c.done = code == 0
	c.mu.Unlock()
	if r.ending() || c.Role == pod.Init {
		return
	}
	if r.Pod.Restart == "" && (c.Liveness != nil || c.Readiness != nil) {
		r.say("container %s ended with exit code %d; it is not started again, because the manifest names no restartPolicy", c.Name, code)
	}
	if r.UntilReady && code != 0 {
		r.stop() // it will not be ready any more
	}
	r.checkReady()
}

// execution is one command of a container.
type execution struct {
	cmd    agent.Command
	p      *agent.Process
	exited chan struct{}
	exit   agent.Exit // once exited is closed
	err    error
}

func start(ctx context.Context, client *agent.Client, cmd agent.Command) (*execution, error) {
	p, err := client.Start(ctx, cmd)
	if err != nil {
		return nil, err
	}
	e := &execution{cmd: cmd, p: p, exited: make(chan struct{})}
	go func() {
		defer close(e.exited)
		e.exit, e.err = p.Wait(ctx)
	}()
	return e, nil
}

// once runs a container's command once.
func (r *run) once(ctx context.Context, c *container) (int, error) {
	cmd := agent.Command{Args: slices.Concat(c.Command, c.Args), Env: c.Env, Dir: c.Dir}
	cmd.Stdout, cmd.Stderr = r.Output(c.Container)
	if c.Role == pod.Main {
		cmd.Stdin, cmd.Terminal = r.Stdin, r.Terminal
	}
	e, err := start(ctx, c.client, cmd)
	switch {
	case errors.Is(err, agent.ErrNotFound):
		r.say("container %s: %v", c.Name, err)
		return fault.NotFound, nil
	case errors.Is(err, agent.ErrNotExecutable):
		r.say("container %s: %v", c.Name, err)
		return fault.NotExecutable, nil
	case err != nil:
		return 0, err
	}
	r.runs(c, e.p)
	// Probes and hooks end with the command.
	beside, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan string, 1) // why the container is to be ended
	var helpers sync.WaitGroup
	helpers.Go(func() { r.watch(beside, c, cmd, failed) })
	defer helpers.Wait()
	defer stop()

	select {
	case <-e.exited:
		return e.exit.Code, e.err
	case why := <-failed:
		r.say("container %s is ended: %s", c.Name, why)
	case <-r.stopping:
		if c.Role == pod.Sidecar { // it serves the others to their end
			select {
			case <-e.exited:
				return e.exit.Code, e.err
			case <-r.mainsEnded:
			}
		}
	}
	stop()
	return r.end(ctx, c, e)
}

// end ends a command in order: its hook, the signal, and SIGKILL when its time
// is over.
func (r *run) end(ctx context.Context, c *container, e *execution) (int, error) {
	inTime, stop := context.WithTimeout(ctx, max(r.Pod.Grace, time.Millisecond))
	defer stop()
	if c.PreStop != nil {
		if err := do(inTime, c.client, *c.PreStop, e.cmd); err != nil {
			r.say("container %s: preStop: %v", c.Name, err)
		}
	}
	signal := cmp.Or(int(r.signal.Load()), int(syscall.SIGTERM))
	_ = e.p.Signal(ctx, signal) // it may have ended meanwhile
	select {
	case <-e.exited:
		return e.exit.Code, e.err
	case <-inTime.Done():
	}
	_ = e.p.Signal(ctx, int(syscall.SIGKILL))
	select {
	case <-e.exited:
		return e.exit.Code, e.err
	case <-time.After(killTimeout):
		return 128 + int(syscall.SIGKILL), nil
	}
}
