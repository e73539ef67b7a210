//go:build linux

package gvisor

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/bulkhead-dev/bulkhead/engine/folder"
	"github.com/bulkhead-dev/bulkhead/engine/gvisor/wire"
	"github.com/bulkhead-dev/bulkhead/engine/oci"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/version"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// ownGroup keeps a terminal's Ctrl-C from the supervisor: the CLI gets it and
// ends the sandbox in order. In a mount namespace of its own (private: Go sees
// to that) no mount that it makes outlives it.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Unshareflags: syscall.CLONE_NEWNS}
}

// userNamespace makes an unprivileged caller root in a namespace of its own,
// which is what gVisor needs to set the sandbox up. Nobody else is mapped.
func userNamespace() *syscall.SysProcAttr {
	attr := ownGroup()
	attr.Cloneflags = syscall.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}}
	return attr
}

// running is a supervisor and the sandbox behind it.
type running struct {
	id       string
	process  *os.Process
	folder   *folder.Folder
	clean    func(dir, id string) error // for when the supervisor cannot
	stream   *oci.Stream
	lifeline *os.File
	events   chan wire.Event // closed when the supervisor's last event was read
	control  *control        // of containers that join
	stderr   *oci.Tail
	reaped   chan struct{} // closed when the supervisor ended
	done     chan struct{}

	mu     sync.Mutex
	err    error
	left   error // why something of the sandbox is left
	said   bool  // the supervisor said its last event: it did its part
	closed bool
}

// startSupervisor starts cmd with the streams of package wire.
func startSupervisor(cmd *exec.Cmd, id string, own *folder.Folder, clean func(dir, id string) error) (*running, error) {
	host, stdin, stdout, err := oci.NewStream()
	if err != nil {
		return nil, err
	}
	lifelineGuest, lifeline, err1 := os.Pipe()
	events, eventsGuest, err2 := os.Pipe()
	if err := errors.Join(err1, err2); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the supervisor: %w", err), host.Close())
	}
	s := &running{
		id: id, folder: own, clean: clean, stream: host, lifeline: lifeline,
		events: make(chan wire.Event, 8), stderr: &oci.Tail{},
		reaped: make(chan struct{}), done: make(chan struct{}),
	}
	controlGuest, err := s.openControl()
	if err == nil {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, s.stderr
		cmd.ExtraFiles = make([]*os.File, wire.LockFD+1-wire.LifelineFD) // those between are closed
		for fd, f := range map[int]*os.File{wire.LifelineFD: lifelineGuest, wire.EventsFD: eventsGuest, wire.ControlFD: controlGuest, wire.LockFD: own.Lock} {
			cmd.ExtraFiles[fd-wire.LifelineFD] = f
		}
		err = cmd.Start()
	}
	for _, f := range []*os.File{stdin, stdout, lifelineGuest, eventsGuest, controlGuest} {
		_ = f.Close()
	}
	if err != nil {
		return nil, errors.Join(fault.WithHint(fmt.Errorf("starting the supervisor: %w", err), "see `bulkhead-runsc --version`"),
			host.Close(), lifeline.Close(), events.Close(), s.control.Close())
	}
	s.process = cmd.Process
	go s.readEvents(events)
	go func() { _ = cmd.Wait(); close(s.reaped) }()
	return s, nil
}

// begin says that the bundle is complete. A supervisor that is gone says so
// itself.
func (s *running) begin() { _, _ = s.lifeline.Write([]byte{0}) }

func (s *running) readEvents(from *os.File) {
	defer from.Close()
	defer close(s.events)
	scanner := bufio.NewScanner(io.LimitReader(from, 1<<20))
	for scanner.Scan() {
		var e wire.Event
		if json.Unmarshal(scanner.Bytes(), &e) == nil {
			s.events <- e
		}
	}
}

// awaitStart returns when the boundary is up. Whatever it returns, watch has to
// follow it.
func (s *running) awaitStart(ctx context.Context) error {
	greeted := false
	for {
		var e wire.Event
		select {
		case next, ok := <-s.events:
			if !ok {
				return s.died()
			}
			e = next
		case <-ctx.Done():
			return fmt.Errorf("booting a sandbox: %w", ctx.Err())
		}
		switch e.Kind {
		case wire.Hello:
			if e.Version != version.String() {
				return fault.WithHint(fmt.Errorf("bulkhead-runsc is of version %s, bulkhead of %s: %w", e.Version, version.String(), sandbox.ErrUnavailable),
					"install both from one release, or run `make build`")
			}
			greeted = true
		case wire.Started:
			if !greeted {
				return errors.New("booting a sandbox: bulkhead-runsc did not say its version")
			}
			return nil
		case wire.Failed:
			s.ended(e)
			return s.bootError(e.Message)
		}
	}
}

func (s *running) bootError(message string) error {
	if tail := s.stderr.String(); tail != "" {
		message += " (" + tail + ")"
	}
	return fault.WithHint(fmt.Errorf("booting a gVisor sandbox: %s", message),
		"run again with BULKHEAD_DEBUG_LOG=FOLDER to get gVisor's own logs")
}

// died says why the supervisor ended without an event.
func (s *running) died() error {
	<-s.reaped
	return s.bootError("bulkhead-runsc ended early")
}

// watch follows the sandbox to its end.
func (s *running) watch() {
	defer close(s.done)
	defer s.control.over()
	for e := range s.events {
		if e.Container != "" {
			s.control.tell(e)
			continue
		}
		if e.Kind == wire.Left || e.Kind == wire.Destroyed || e.Kind == wire.Failed {
			s.ended(e)
		}
		if e.Kind == wire.Exited && e.OOMKilled {
			s.fail(fault.WithHint(fault.WithCode(sandbox.ErrMemory, fault.Memory), "give it more memory: --memory"))
		}
		if e.Kind == wire.Exited && e.Status != 0 {
			s.fail(fmt.Errorf("the guest agent ended with status %#x: %s", e.Status, s.stderr.String()))
		}
	}
}

// ended takes the supervisor's last event.
func (s *running) ended(e wire.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = true
	if e.Kind == wire.Left {
		s.left = errors.New(e.Message)
	}
}

func (s *running) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && !s.closed {
		s.err = err
	}
}

// ID returns the sandbox's id.
func (s *running) ID() string { return s.id }

// Stream returns the byte stream to the guest agent.
func (s *running) Stream() io.ReadWriteCloser { return s.stream }

// Done is closed when the supervisor has no more to say.
func (s *running) Done() <-chan struct{} { return s.done }

// Err returns why the sandbox ended.
func (s *running) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// abandon kills a supervisor that did not say its end, and what it started:
// while it boots a sandbox it does not look at its lifeline, and a boot may hang.
// Close has to follow it.
func (s *running) abandon() error {
	s.mu.Lock()
	said := s.said
	s.mu.Unlock()
	if said {
		return nil
	}
	_ = s.process.Kill() // it may be gone
	// Its children hold its standard error: it is not reaped before they end.
	return s.clean(s.folder.Dir, s.id)
}

// Close cuts the lifeline, waits until the supervisor destroyed the sandbox,
// and removes its folder.
func (s *running) Close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	_ = s.lifeline.Close()
	_ = s.stream.Close()
	_ = s.control.Close()
	select {
	case <-s.reaped:
	case <-ctx.Done():
		return fmt.Errorf("destroying sandbox %s: %w", s.id, ctx.Err())
	}
	<-s.done
	s.mu.Lock()
	left, said := s.left, s.said
	s.mu.Unlock()
	if !said { // it was killed
		left = s.clean(s.folder.Dir, s.id)
	}
	if err := errors.Join(left, s.folder.Remove()); err != nil {
		return fmt.Errorf("destroying sandbox %s: %w", s.id, err)
	}
	return nil
}
