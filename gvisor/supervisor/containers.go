package supervisor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/runsc/container"
	"gvisor.dev/gvisor/runsc/specutils"

	"github.com/bulkhead-dev/bulkhead/engine/gvisor/wire"
)

// containers are those that joined the sandbox. One is started or ended at a
// time: container.Start hands out the process's own standard streams.
type containers struct {
	opts   options
	events *eventWriter

	mu     sync.Mutex
	left   int // how many may still join
	joined map[string]*container.Container
	over   bool // the sandbox was destroyed: none may join
}

// open drops privileges where no container may join the sandbox, and takes
// requests where some may: creating a container takes what creating the sandbox
// took, and privileges are dropped with the last one.
func (c *containers) open() error {
	if c.left == 0 {
		return dropPrivileges()
	}
	control, err := controlConn()
	if err != nil {
		return err
	}
	go c.serve(control)
	return nil
}

// serve answers requests until the engine closes its end or breaks the
// protocol.
func (c *containers) serve(control *net.UnixConn) {
	defer func() { _ = control.Close() }()
	for {
		r, files, err := receive(control)
		if err != nil {
			return
		}
		switch r.Kind {
		case wire.Join:
			err = c.join(r.Container, files)
			answer := wire.Event{Kind: wire.Joined, Container: r.Container}
			if err != nil {
				answer.Kind, answer.Message = wire.Refused, err.Error()
			}
			c.events.send(answer)
		case wire.End:
			answer := wire.Event{Kind: wire.Removed, Container: r.Container}
			if err := c.end(r.Container); err != nil {
				answer.Message = err.Error()
			}
			c.events.send(answer)
		}
		for _, f := range files {
			_ = f.Close()
		}
	}
}

// receive reads one request and its descriptors, which the caller closes.
func receive(control *net.UnixConn) (wire.Request, []*os.File, error) {
	message := make([]byte, wire.MaxRequest+1)
	rights := make([]byte, unix.CmsgSpace(2*4))
	n, oobn, flags, _, err := control.ReadMsgUnix(message, rights)
	if err != nil {
		return wire.Request{}, nil, err
	}
	files, err := filesOf(rights[:oobn])
	if err == nil && n == 0 {
		err = net.ErrClosed
	}
	if err == nil && flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = errors.New("a request does not fit")
	}
	var r wire.Request
	if err == nil {
		r, err = wire.ParseRequest(message[:n])
	}
	if err == nil && len(files) != r.Files() {
		err = fmt.Errorf("a request %s carries %d descriptors", r.Kind, len(files))
	}
	if err != nil {
		for _, f := range files {
			_ = f.Close()
		}
		return r, nil, err
	}
	return r, files, nil
}

func filesOf(rights []byte) ([]*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return files, err
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "stream"))
		}
	}
	return files, nil
}

// join starts the container with the streams files.
func (c *containers) join(name string, files []*os.File) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over:
		return errors.New("the sandbox ended")
	case c.left == 0:
		return errors.New("no more containers were announced")
	case c.joined[name] != nil:
		return fmt.Errorf("there is a container %s", name)
	}
	c.left--
	started, err := c.start(name, files)
	if c.left == 0 {
		if dropErr := dropPrivileges(); dropErr != nil {
			err = errors.Join(err, dropErr)
		}
	}
	if err != nil {
		if started != nil {
			err = errors.Join(err, started.Destroy())
		}
		return err
	}
	c.joined[name] = started
	go c.wait(started)
	return nil
}

func (c *containers) start(name string, files []*os.File) (*container.Container, error) {
	conf, err := runscConfig(c.opts)
	if err != nil {
		return nil, err
	}
	bundle := wire.ContainerBundle(c.opts.bundle, name)
	spec, err := specutils.ReadSpec(bundle, conf)
	if err != nil {
		return nil, fmt.Errorf("reading the bundle: %w", err)
	}
	if specutils.IsRootContainer(spec) {
		return nil, errors.New("the bundle is for a sandbox of its own")
	}
	started, err := container.New(conf, container.Args{ID: name, Spec: spec, BundleDir: bundle})
	if err != nil {
		return nil, fmt.Errorf("creating the container: %w", err)
	}
	for fd, f := range files {
		err = errors.Join(err, unix.Dup3(int(f.Fd()), fd, 0))
	}
	if err == nil {
		err = started.Start(conf)
	}
	closeStreams()
	if err != nil {
		return started, fmt.Errorf("starting the container: %w", err)
	}
	return started, nil
}

// wait tells the end of a container's guest agent.
func (c *containers) wait(started *container.Container) {
	c.mu.Lock()
	sandbox := started.Sandbox
	c.mu.Unlock()
	if sandbox == nil {
		return // it was destroyed meanwhile
	}
	status, err := sandbox.Wait(started.ID)
	if err != nil {
		status = unix.WaitStatus(syscall.SIGKILL)
	}
	c.events.send(wire.Event{Kind: wire.Exited, Container: started.ID, Status: int(status)})
}

// end destroys a container. It is idempotent.
func (c *containers) end(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ended := c.joined[name]
	if ended == nil {
		return nil
	}
	delete(c.joined, name)
	return ended.Destroy()
}

// destroy removes what is left of the containers once the sandbox is gone.
func (c *containers) destroy() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	var err error
	for name, left := range c.joined {
		if e := left.Destroy(); e != nil {
			err = errors.Join(err, fmt.Errorf("destroying container %s: %w", name, e))
		}
	}
	clear(c.joined)
	return err
}

// controlConn is the socket that the engine sends requests on.
func controlConn() (*net.UnixConn, error) {
	f := os.NewFile(wire.ControlFD, "control")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("opening the control socket: %w", err)
	}
	unixConn, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("the control socket is none"), conn.Close())
	}
	return unixConn, nil
}
