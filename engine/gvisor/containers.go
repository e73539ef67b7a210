//go:build linux

package gvisor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/engine/gvisor/wire"
	"github.com/bulkhead-dev/bulkhead/engine/oci"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// control is how containers are asked of the supervisor.
type control struct {
	conn *net.UnixConn

	mu     sync.Mutex
	joined map[string]*joined // by name
	ended  bool               // the supervisor has no more to say
}

// joined is a container of a sandbox.
type joined struct {
	name    string
	sandbox *running
	stream  *oci.Stream
	started chan error    // what became of the start; holds one
	removed chan struct{} // closed when nothing of it is left, or why stands in left
	done    chan struct{} // closed when its guest agent ended

	mu       sync.Mutex
	err      error
	left     error
	closed   bool
	doneOnce sync.Once
	gone     bool // removed is closed
}

// openControl makes the socket on which containers are asked for, and returns
// the supervisor's end.
func (s *running) openControl() (*os.File, error) {
	s.control = &control{joined: map[string]*joined{}}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making the control socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	conn, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		return theirs, fmt.Errorf("making the control socket: %w", err)
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return theirs, errors.Join(errors.New("making the control socket: it is none"), conn.Close())
	}
	s.control.conn = unixConn
	return theirs, nil
}

// Close ends the asking. It is idempotent.
func (c *control) Close() error {
	if c.conn == nil {
		return nil
	}
	return c.conn.Close()
}

// send asks for something, and passes files on with it.
func (c *control) send(r wire.Request, files ...*os.File) error {
	message, err := json.Marshal(r)
	if err != nil {
		return err
	}
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fds[i] = int(f.Fd())
		}
		rights = unix.UnixRights(fds...)
	}
	_, _, err = c.conn.WriteMsgUnix(message, rights, nil)
	return err
}

// add takes a container's name.
func (c *control) add(j *joined) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return errors.New("the sandbox ended")
	}
	if c.joined[j.name] != nil {
		return fault.WithHint(fmt.Errorf("a container is named %s already", j.name), "choose another name")
	}
	c.joined[j.name] = j
	return nil
}

func (c *control) remove(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.joined, name)
}

// tell passes an event on to its container. What is unknown is left alone.
func (c *control) tell(e wire.Event) {
	c.mu.Lock()
	j := c.joined[e.Container]
	c.mu.Unlock()
	if j == nil {
		return
	}
	switch e.Kind {
	case wire.Joined:
		j.answer(nil)
	case wire.Refused:
		j.answer(errors.New(e.Message))
	case wire.Exited:
		var err error
		if e.Status != 0 {
			err = fmt.Errorf("the guest agent of container %s ended with status %#x", j.name, e.Status)
		}
		j.end(err)
	case wire.Removed:
		j.remove(e.Message)
	}
}

// over ends every container with the sandbox.
func (c *control) over() {
	c.mu.Lock()
	c.ended = true
	all := c.joined
	c.joined = map[string]*joined{}
	c.mu.Unlock()
	for _, j := range all {
		j.answer(errors.New("the sandbox ended"))
		j.end(errors.New("the sandbox ended"))
		j.remove("")
	}
}

// Join starts a container in the sandbox.
func (s *running) Join(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	j, err := s.join(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("starting container %s: %w", spec.ID, err)
	}
	return j, nil
}

func (s *running) join(ctx context.Context, spec sandbox.Spec) (*joined, error) {
	if !sandbox.ValidID(spec.ID) || spec.ID == s.id {
		return nil, fmt.Errorf("%q is not a valid name", spec.ID)
	}
	if err := spec.Limits.Validate(); err != nil {
		return nil, err
	}
	if spec.Limits.MemoryBytes > 0 || spec.Limits.MilliCPUs > 0 {
		return nil, fmt.Errorf("%w: memory and CPUs are limited for the whole sandbox", sandbox.ErrLimit)
	}
	j := &joined{name: spec.ID, sandbox: s, started: make(chan error, 1), removed: make(chan struct{}), done: make(chan struct{})}
	if err := s.control.add(j); err != nil {
		return nil, err
	}
	bundle := wire.ContainerBundle(s.folder.Dir, spec.ID)
	err := os.MkdirAll(bundle, 0o700)
	if err == nil {
		err = oci.WriteBundle(bundle, spec, oci.Runtime{OwnKernel: true, EROFS: true, Joins: s.id})
	}
	if err == nil {
		err = j.start(ctx)
	}
	if err != nil {
		s.control.remove(j.name)
		return nil, errors.Join(err, os.RemoveAll(bundle))
	}
	return j, nil
}

// start hands the container's streams to the supervisor and waits for its answer.
func (j *joined) start(ctx context.Context) error {
	host, stdin, stdout, err := oci.NewStream()
	if err != nil {
		return err
	}
	j.stream = host
	err = j.sandbox.control.send(wire.Request{Kind: wire.Join, Container: j.name}, stdin, stdout)
	_, _ = stdin.Close(), stdout.Close()
	if err == nil {
		select {
		case err = <-j.started:
		case <-ctx.Done():
			// It may be started yet: then it is ended after that.
			_ = j.sandbox.control.send(wire.Request{Kind: wire.End, Container: j.name})
			err = ctx.Err()
		}
	}
	if err != nil {
		return errors.Join(err, host.Close())
	}
	return nil
}

// answer says what became of the start. Later answers are dropped.
func (j *joined) answer(err error) {
	select {
	case j.started <- err:
	default:
	}
}

func (j *joined) end(err error) {
	j.mu.Lock()
	if j.err == nil && !j.closed {
		j.err = err
	}
	j.mu.Unlock()
	j.doneOnce.Do(func() { close(j.done) })
}

// remove notes that nothing is left of the container, or what.
func (j *joined) remove(left string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.gone {
		return
	}
	j.gone = true
	if left != "" {
		j.left = errors.New(left)
	}
	close(j.removed)
}

// ID returns the container's name.
func (j *joined) ID() string { return j.name }

// Stream returns the byte stream to the container's guest agent.
func (j *joined) Stream() io.ReadWriteCloser { return j.stream }

// Done is closed when the container's guest agent ended, or the sandbox.
func (j *joined) Done() <-chan struct{} { return j.done }

// Err returns why the container ended.
func (j *joined) Err() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.err
}

// Close ends the container's processes and waits until nothing of it is left.
func (j *joined) Close(ctx context.Context) error {
	j.mu.Lock()
	first := !j.closed
	j.closed = true
	j.mu.Unlock()
	if first {
		_ = j.stream.Close()
		// A sandbox that ended has removed it.
		_ = j.sandbox.control.send(wire.Request{Kind: wire.End, Container: j.name})
	}
	select {
	case <-j.removed:
	case <-ctx.Done():
		return fmt.Errorf("ending container %s: %w", j.name, ctx.Err())
	}
	j.end(nil)
	j.sandbox.control.remove(j.name)
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(j.left, os.RemoveAll(wire.ContainerBundle(j.sandbox.folder.Dir, j.name)))
}
