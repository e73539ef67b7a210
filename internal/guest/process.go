package guest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"github.com/creack/pty"

	"github.com/bulkhead-dev/bulkhead/internal/agentapi"
)

// drainIdle is how long output is awaited after a process ended while some
// process that it left behind still holds its output open.
const drainIdle = 200 * time.Millisecond

// process is one process that the agent started. Its events go to one reader,
// the stream that started it.
type process struct {
	pid    int
	tag    string
	config *agentapi.ProcessConfig
	events chan *agentapi.Event
	// gone is closed when nobody reads events any more.
	gone chan struct{}
	// ended says that the process itself is gone; others may hold its output.
	ended atomic.Bool

	mu    sync.Mutex
	stdin io.WriteCloser // nil: empty or closed
	tty   *os.File       // the agent's end of the terminal, nil without one
}

// launch starts a process and the goroutines that turn its life into events.
func (s *Server) launch(req *agentapi.StartRequest) (*process, error) {
	if req.Process == nil || req.Process.Cmd == "" {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("no command given"))
	}
	s.reserve() // before any code that may use up what is left
	env := s.environment(req.Process.Envs)
	cwd := req.Process.Cwd
	if cwd == "" {
		cwd = s.home
	}
	p := &process{tag: req.Tag, config: req.Process, events: make(chan *agentapi.Event, 16), gone: make(chan struct{})}
	files, outputs, err := s.open(p, req)
	if err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	pid, ended, err := s.reaper.start(&spawn{
		paths: candidates(req.Process.Cmd, env["PATH"], cwd), argv: append([]string{req.Process.Cmd}, req.Process.Args...),
		env: flatten(env), dir: cwd, files: files, terminal: p.tty != nil,
	})
	for _, f := range files {
		if f != s.null {
			_ = f.Close()
		}
	}
	if err != nil {
		for _, o := range outputs {
			_ = o.from.Close()
		}
		p.closeStdin()
		return nil, startError(req.Process, err)
	}
	p.pid = pid
	s.add(p)
	go s.follow(p, ended, outputs)
	return p, nil
}

// output is one of a process's outputs and how it is told in events.
type output struct {
	from *os.File
	wrap func([]byte) *agentapi.DataEvent
}

// open makes the process's standard streams: the files that it gets (0, 1, 2)
// and the outputs to read. It sets p.stdin and p.tty. An empty standard input is
// the null device, where there is one.
func (s *Server) open(p *process, req *agentapi.StartRequest) (files [3]*os.File, outputs []output, err error) {
	if req.PTY != nil {
		return p.openTerminal(req.PTY)
	}
	stdin, empty := s.null, req.Stdin != nil && !*req.Stdin
	if s.null == nil || !empty {
		var in *os.File
		if stdin, in, err = pipe(1); err != nil {
			return files, nil, fmt.Errorf("opening pipes: %w", err)
		}
		p.stdin = in
		if empty {
			p.closeStdin()
		}
	}
	set, err := s.spare.take()
	if err != nil {
		return files, nil, fmt.Errorf("opening pipes: %w", err)
	}
	return [3]*os.File{stdin, set.stdout.to, set.stderr.to}, []output{
		{set.stdout.from, func(b []byte) *agentapi.DataEvent { return &agentapi.DataEvent{Stdout: b} }},
		{set.stderr.from, func(b []byte) *agentapi.DataEvent { return &agentapi.DataEvent{Stderr: b} }},
	}, nil
}

// openTerminal is open for a process with a terminal.
func (p *process) openTerminal(req *agentapi.PTY) (files [3]*os.File, outputs []output, err error) {
	ptm, tty, err := pty.Open()
	if err != nil {
		return files, nil, fmt.Errorf("opening a terminal: %w", err)
	}
	p.tty, p.stdin = ptm, ptm
	if size := req.Size; size != nil {
		_ = setSize(ptm, size)
	}
	// One descriptor a stream, because each is closed after the start.
	second, err1 := dup(tty)
	third, err2 := dup(tty)
	if err := errors.Join(err1, err2); err != nil {
		return files, nil, err
	}
	return [3]*os.File{tty, second, third},
		[]output{{ptm, func(b []byte) *agentapi.DataEvent { return &agentapi.DataEvent{PTY: b} }}}, nil
}

// endFirst has the kernel end a command for memory before it ends the agent,
// and with it the sandbox. gVisor ends no process for memory.
func (s *Server) endFirst(pid int) {
	if strings.Contains(s.identity.Kernel, "-gvisor ") {
		return
	}
	fd, err := syscall.Open(fmt.Sprintf("/proc/%d/oom_score_adj", pid), syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return // it ended, or the sandbox's kernel has no such thing
	}
	_, _ = syscall.Write(fd, []byte("1000"))
	_ = syscall.Close(fd)
}

func dup(f *os.File) (*os.File, error) {
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("duplicating a terminal: %w", err)
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// follow turns output and end into events. The end comes after all output.
func (s *Server) follow(p *process, ended <-chan syscall.WaitStatus, outputs []output) {
	defer close(p.events)
	s.endFirst(p.pid)
	var readers sync.WaitGroup
	for _, o := range outputs {
		readers.Go(func() { p.pump(o) })
	}
	status := <-ended
	p.ended.Store(true)
	for _, o := range outputs {
		_ = o.from.SetReadDeadline(time.Now().Add(drainIdle)) // wakes a pump that waits
	}
	readers.Wait()
	s.remove(p)
	p.closeStdin()
	for _, o := range outputs {
		_ = o.from.Close()
	}
	p.send(&agentapi.Event{End: endEvent(status)})
}

// pump sends output until its end or, once the process ended, until there was
// none for drainIdle. The time in which the host takes nothing does not count:
// what the process wrote before its end is never lost.
func (p *process) pump(o output) {
	for {
		if p.ended.Load() {
			_ = o.from.SetReadDeadline(time.Now().Add(drainIdle))
		}
		buf := make([]byte, agentapi.MaxChunkBytes/2)
		n, err := o.from.Read(buf)
		if n > 0 {
			p.send(&agentapi.Event{Data: o.wrap(buf[:n])})
		}
		if err != nil {
			return
		}
	}
}

// send hands an event to the reader; when there is none any more it is dropped,
// and the process goes on.
func (p *process) send(e *agentapi.Event) {
	select {
	case p.events <- e:
	case <-p.gone:
	}
}

func (p *process) write(b []byte) error {
	p.mu.Lock()
	w := p.stdin
	p.mu.Unlock()
	if w == nil {
		return connect.NewError(connect.CodeFailedPrecondition, errors.New("standard input is closed"))
	}
	if _, err := w.Write(b); err != nil {
		return connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf("writing to standard input: %w", err))
	}
	return nil
}

func (p *process) closeStdin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	// A terminal is closed with its output; until then its input is the end-of-file character.
	if p.stdin != nil && p.tty == nil {
		_ = p.stdin.Close()
	}
	p.stdin = nil
}

func setSize(f *os.File, size *agentapi.PTYSize) error {
	return pty.Setsize(f, &pty.Winsize{Rows: uint16(min(size.Rows, 1<<16-1)), Cols: uint16(min(size.Cols, 1<<16-1))})
}

func endEvent(status syscall.WaitStatus) *agentapi.EndEvent {
	if status.Signaled() {
		return &agentapi.EndEvent{ExitCode: int32(128 + int(status.Signal())), Status: "signal: " + status.Signal().String()}
	}
	return &agentapi.EndEvent{ExitCode: int32(status.ExitStatus()), Exited: true, Status: fmt.Sprintf("exit status %d", status.ExitStatus())}
}

// startError maps the reasons for which a start fails to the codes from which
// the host derives 126 and 127.
func startError(config *agentapi.ProcessConfig, err error) error {
	var dir dirError
	switch {
	case errors.As(err, &dir):
		return connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("%w, in the sandbox", dir))
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return connect.NewError(connect.CodeNotFound, fmt.Errorf("%s: not found in the sandbox, or its interpreter is not", config.Cmd))
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOEXEC), errors.Is(err, syscall.EISDIR):
		return connect.NewError(connect.CodePermissionDenied, fmt.Errorf("%s: %w", config.Cmd, err))
	default:
		return connect.NewError(connect.CodeInternal, fmt.Errorf("starting %s: %w", config.Cmd, err))
	}
}

// candidates are the files that may be meant, in the order in which they are
// tried. Relative names with a slash start at cwd.
func candidates(cmd, path, cwd string) []string {
	switch {
	case filepath.IsAbs(cmd):
		return []string{cmd}
	case strings.Contains(cmd, "/"):
		return []string{filepath.Join(cwd, cmd)}
	}
	var out []string
	for _, dir := range filepath.SplitList(path) {
		if filepath.IsAbs(dir) {
			out = append(out, filepath.Join(dir, cmd))
		}
	}
	return out
}

// environment returns the agent's defaults with the request's values over them.
func (s *Server) environment(envs map[string]string) map[string]string {
	env := map[string]string{}
	for _, kv := range s.defaults {
		k, v, _ := strings.Cut(kv, "=")
		env[k] = v
	}
	for k, v := range envs {
		env[k] = v
	}
	return env
}

func flatten(env map[string]string) []string {
	out := make([]string, 0, len(env))
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	sort.Strings(out)
	return out
}
