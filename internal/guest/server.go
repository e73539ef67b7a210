// Package guest is the guest agent: the first process in every sandbox. It
// serves the process service of package agentapi over one byte stream and
// collects orphans. It holds no secret and no privilege beyond the sandbox's
// own: code in the sandbox may kill it, which ends the sandbox.
package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/yamux"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/internal/agentapi"
	"github.com/bulkhead-dev/bulkhead/internal/version"
)

// Server is the agent's state: the processes that it started.
type Server struct {
	defaults []string // environment that every process gets
	home     string
	identity agentapi.Identity
	reaper   *reaper
	reserve  func() // takes threads and pipes for the first command, once
	spare    sparePipes
	null     *os.File // nil: it could not be opened

	mu        sync.Mutex
	processes map[int]*process
	session   *yamux.Session
	egress    net.Listener // nil: there is no way out
}

// NewServer reads the guest's identity and prepares an agent whose processes
// get env (K=V) unless a request says otherwise.
func NewServer(env []string) *Server {
	s := &Server{defaults: env, home: "/", identity: readIdentity(), reaper: newReaper(), spare: newSparePipes(), processes: map[int]*process{}}
	s.reserve = sync.OnceFunc(func() {
		reserveThreads()
		s.spare.fill()
	})
	for _, kv := range env {
		if home, ok := strings.CutPrefix(kv, "HOME="); ok {
			s.home = home
		}
	}
	return s
}

// Serve answers on stream until the host closes it.
func (s *Server) Serve(stream io.ReadWriteCloser) error {
	if null := openNull(); null != nil {
		s.null = null
		defer null.Close()
	}
	stop := make(chan struct{})
	defer close(stop)
	go s.reaper.run(stop)

	config := yamux.DefaultConfig()
	config.EnableKeepAlive = false
	config.LogOutput = io.Discard
	session, err := yamux.Server(stream, config)
	if err != nil {
		return fmt.Errorf("opening the stream to the host: %w", err)
	}
	s.session = session
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	if err := server.Serve(session); !errors.Is(err, yamux.ErrSessionShutdown) && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

func (s *Server) handler() http.Handler {
	opts := []connect.HandlerOption{
		connect.WithCodec(agentapi.Codec{}),
		connect.WithReadMaxBytes(agentapi.MaxMessageBytes),
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+agentapi.HealthPath, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET "+agentapi.IdentityPath, s.identify)
	mux.HandleFunc("POST "+agentapi.EgressPath, s.openEgress)
	mux.HandleFunc("POST "+agentapi.PortPath+"{port}", openPort)
	mux.HandleFunc("GET "+agentapi.ArchivePath, sendArchive)
	mux.HandleFunc("PUT "+agentapi.ArchivePath, takeArchive)
	mux.Handle(agentapi.ProcessStart, connect.NewServerStreamHandler(agentapi.ProcessStart, s.start, opts...))
	mux.Handle(agentapi.ProcessList, connect.NewUnaryHandler(agentapi.ProcessList, s.list, opts...))
	mux.Handle(agentapi.ProcessUpdate, connect.NewUnaryHandler(agentapi.ProcessUpdate, s.update, opts...))
	mux.Handle(agentapi.ProcessSendInput, connect.NewUnaryHandler(agentapi.ProcessSendInput, s.sendInput, opts...))
	mux.Handle(agentapi.ProcessCloseStdin, connect.NewUnaryHandler(agentapi.ProcessCloseStdin, s.closeStdin, opts...))
	mux.Handle(agentapi.ProcessSendSignal, connect.NewUnaryHandler(agentapi.ProcessSendSignal, s.sendSignal, opts...))
	return mux
}

// identify answers before it takes its threads: while it does, the host checks
// the answer and asks for the first command.
func (s *Server) identify(w http.ResponseWriter, _ *http.Request) {
	body, err := json.Marshal(s.identity)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
	_ = http.NewResponseController(w).Flush()
	s.reserve()
}

// start runs a process and tells its life. When the caller goes away, so does
// the process's reader, not the process.
func (s *Server) start(ctx context.Context, req *connect.Request[agentapi.StartRequest], out *connect.ServerStream[agentapi.EventResponse]) error {
	defer s.spare.fill()
	p, err := s.launch(req.Msg)
	if err != nil {
		return err
	}
	defer close(p.gone)
	if err := out.Send(&agentapi.EventResponse{Event: &agentapi.Event{Start: &agentapi.StartEvent{PID: uint32(p.pid)}}}); err != nil {
		return err
	}
	for {
		select {
		case e, ok := <-p.events:
			if !ok {
				return nil
			}
			if err := out.Send(&agentapi.EventResponse{Event: e}); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *Server) list(_ context.Context, _ *connect.Request[agentapi.Empty]) (*connect.Response[agentapi.ListResponse], error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	res := &agentapi.ListResponse{}
	for _, p := range s.processes {
		res.Processes = append(res.Processes, agentapi.ProcessInfo{Config: p.config, PID: uint32(p.pid), Tag: p.tag})
	}
	return connect.NewResponse(res), nil
}

func (s *Server) update(_ context.Context, req *connect.Request[agentapi.UpdateRequest]) (*connect.Response[agentapi.Empty], error) {
	p, err := s.find(req.Msg.Process)
	if err != nil {
		return nil, err
	}
	if p.tty == nil || req.Msg.PTY == nil || req.Msg.PTY.Size == nil {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New("the process has no terminal, or no size was given"))
	}
	if err := setSize(p.tty, req.Msg.PTY.Size); err != nil {
		return nil, connect.NewError(connect.CodeInternal, err)
	}
	return connect.NewResponse(&agentapi.Empty{}), nil
}

func (s *Server) sendInput(_ context.Context, req *connect.Request[agentapi.SendInputRequest]) (*connect.Response[agentapi.Empty], error) {
	p, err := s.find(req.Msg.Process)
	if err != nil {
		return nil, err
	}
	if in := req.Msg.Input; in != nil {
		data := in.Stdin
		if p.tty != nil {
			data = in.PTY
		}
		if err := p.write(data); err != nil {
			return nil, err
		}
	}
	return connect.NewResponse(&agentapi.Empty{}), nil
}

func (s *Server) closeStdin(_ context.Context, req *connect.Request[agentapi.CloseStdinRequest]) (*connect.Response[agentapi.Empty], error) {
	p, err := s.find(req.Msg.Process)
	if err != nil {
		return nil, err
	}
	p.closeStdin()
	return connect.NewResponse(&agentapi.Empty{}), nil
}

// sendSignal signals the process and its group, as a terminal would.
func (s *Server) sendSignal(_ context.Context, req *connect.Request[agentapi.SendSignalRequest]) (*connect.Response[agentapi.Empty], error) {
	p, err := s.find(req.Msg.Process)
	if err != nil {
		return nil, err
	}
	if req.Msg.Signal < 1 || req.Msg.Signal > 64 {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("signal %d does not exist", req.Msg.Signal))
	}
	if err := syscall.Kill(-p.pid, syscall.Signal(req.Msg.Signal)); err != nil {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("signalling process %d: %w", p.pid, err))
	}
	return connect.NewResponse(&agentapi.Empty{}), nil
}

func (s *Server) find(sel *agentapi.Selector) (*process, error) {
	if sel == nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("no process named"))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if p, ok := s.processes[int(sel.PID)]; ok && sel.PID != 0 {
		return p, nil
	}
	for _, p := range s.processes {
		if sel.Tag != "" && p.tag == sel.Tag {
			return p, nil
		}
	}
	return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("no process %d%s", sel.PID, sel.Tag))
}

func (s *Server) add(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes[p.pid] = p
}

func (s *Server) remove(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.processes, p.pid)
}

// readIdentity observes the kernel. What cannot be read stays empty: the host
// decides what that means.
func readIdentity() agentapi.Identity {
	id := agentapi.Identity{Version: version.String()}
	id.BootID = readLine("/proc/sys/kernel/random/boot_id")
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		id.Kernel = unix.ByteSliceToString(u.Release[:]) + " " + unix.ByteSliceToString(u.Version[:])
	}
	return id
}
