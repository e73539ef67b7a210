//go:build linux

package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/egress"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

const (
	// maxConns is how many connections of commands a keeper serves at a time.
	maxConns = 256
	// maxAnswer bounds what a keeper's answer makes its user's commands read.
	maxAnswer = 16 << 20
)

// Request is a named sandbox that is to be kept. It crosses a process boundary
// as JSON; the environment in it may hold secrets, and is written nowhere.
type Request struct {
	// Version is the build of who asks; a keeper of another one refuses.
	Version string `json:"version"`
	Name    string `json:"name"`
	Engine  string `json:"engine"`
	// Platform is the engine's, where it has several.
	Platform string            `json:"platform,omitempty"`
	Minimum  boundary.Boundary `json:"minimum"`
	Spec     sandbox.Spec      `json:"spec"`
	Allow    []string          `json:"allow,omitempty"`
	// Args is the sandbox's own command; its output is logged and the sandbox
	// ends with it. Empty: the sandbox waits for others until it is killed.
	Args []string `json:"args,omitempty"`
	Dir  string   `json:"dir,omitempty"`
	// Pod is what runs in place of Args; nil: Args. Of its volumes nothing is needed.
	Pod *pod.Pod `json:"pod,omitempty"`
	// Containers are what those of a pod are made from that are apart, by name, and
	// Room what the sandbox has to know of them; nil: they share the sandbox's.
	Containers map[string]sandbox.Spec `json:"containers,omitempty"`
	Room       *sandbox.Pod            `json:"room,omitempty"`
	// Timeout bounds the sandbox's life, or that of its command.
	Timeout time.Duration `json:"timeout,omitempty"`
}

// errKilled is the cause when the user ended the sandbox.
var errKilled = errors.New("killed")

// Keep boots the sandbox and keeps it until its command ends, it is killed or
// breaks. ready is called once, when it is up or could not be brought up; when
// it fails, nobody waits for the sandbox and it is destroyed. An error after that
// stands in the sandbox's state.
func (s *Store) Keep(ctx context.Context, engine sandbox.Engine, req Request, ready func(error) error) error {
	entry, err := s.create(newState(engine, req))
	if err != nil {
		return errors.Join(err, ready(err))
	}
	defer entry.lock.Close()
	k, err := start(ctx, engine, req, entry.dir)
	if err != nil {
		err = errors.Join(err, os.RemoveAll(entry.dir))
		return errors.Join(err, ready(err))
	}
	if err := ready(nil); err != nil {
		return errors.Join(err, k.close(ctx), os.RemoveAll(entry.dir))
	}
	code, err := k.keep(ctx, req)
	err = errors.Join(err, k.close(ctx))
	return k.ended(code, err)
}

// ended writes down how the sandbox ended.
func (k *keeper) ended(code int, err error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now().UTC()
	k.state.Ended, k.state.ExitCode = &now, code
	if err != nil {
		k.state.Error, k.state.ExitCode = err.Error(), fault.Code(err, fault.Internal)
		fmt.Fprintln(k.log.stream(Notice), err)
	}
	return writeState(k.dir, k.state)
}

// keeper is a sandbox that is kept.
type keeper struct {
	dir    string
	req    Request
	box    *runner.Box
	log    *log
	guest  net.Listener
	own    *http.Server
	cancel context.CancelCauseFunc
	served sync.WaitGroup
	slots  chan struct{} // one for each connection that is served
	held   []*os.File    // root file systems of containers that are still to start

	mu      sync.Mutex
	state   State
	command *agent.Process // nil: it does not run (yet)
	signals chan os.Signal // of a pod; nil: there is none
	// commands are those that a pod's containers run, by name; nil: none.
	commands map[string]*agent.Process
}

// start boots the sandbox and opens its sockets.
func start(ctx context.Context, engine sandbox.Engine, req Request, dir string) (k *keeper, err error) {
	k = &keeper{dir: dir, req: req, state: newState(engine, req), cancel: func(error) {}, commands: map[string]*agent.Process{}, slots: make(chan struct{}, maxConns)}
	if k.log, err = openLog(dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			k.release()
		}
	}()
	if err := k.hold(); err != nil {
		return nil, err
	}
	place := runner.Place{Engine: engine, Spec: req.Spec, Pod: req.Room, Minimum: req.Minimum}
	if len(req.Allow) > 0 {
		rules, err := egress.ParseRules(req.Allow)
		if err != nil {
			return nil, err
		}
		notices := k.log.stream(Notice)
		place.Egress = egress.New(rules, func(d egress.Denial) { fmt.Fprintf(notices, "egress denied: %s: %s\n", d.Target, d.Reason) })
	}
	if k.box, err = runner.Boot(ctx, place); err != nil {
		return nil, err
	}
	var own net.Listener
	k.guest, err = listen(ctx, filepath.Join(dir, guestSocket))
	if err == nil {
		own, err = listen(ctx, filepath.Join(dir, ownSocket))
	}
	if err != nil {
		return nil, errors.Join(err, k.box.Close(ctx))
	}
	k.own = &http.Server{Handler: k.handler(), ReadHeaderTimeout: 5 * time.Second}
	k.served.Go(func() { _ = k.own.Serve(own) })
	k.served.Go(func() { k.lend(k.guest, k.box.Client) })
	return k, nil
}

// listen opens a socket for this user alone. The folder is, too.
func listen(ctx context.Context, path string) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return nil, fault.WithHint(fmt.Errorf("opening the socket of the sandbox: %w", err), "a socket's path has at most 107 bytes: choose a shorter name, or set XDG_RUNTIME_DIR")
	}
	return l, nil
}

// lend lends a guest agent's stream: one of its own for each connection, so that
// whoever does not read holds up only itself.
func (k *keeper) lend(l net.Listener, client *agent.Client) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		k.slots <- struct{}{}
		go func() {
			defer func() { <-k.slots }()
			client.Relay(conn)
		}()
	}
}

// keep waits for the sandbox's end and returns its exit code.
func (k *keeper) keep(ctx context.Context, req Request) (int, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	k.mu.Lock()
	k.cancel = cancel
	k.mu.Unlock()
	go func() {
		select {
		case <-k.box.Sandbox.Done():
			cancel(k.box.Lost(agent.ErrLost))
		case <-ctx.Done():
		}
	}()
	if req.Pod != nil {
		code, err := k.keepPod(ctx, req.Pod)
		if ctx.Err() != nil {
			return ended(ctx)
		}
		return code, err
	}
	if len(req.Args) == 0 {
		if req.Timeout > 0 {
			var stop context.CancelFunc
			ctx, stop = context.WithTimeout(ctx, req.Timeout)
			defer stop()
		}
		<-ctx.Done()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fault.Timeout, nil
		}
		return ended(ctx)
	}
	code, err := runner.Exec(ctx, k.box.Client, runner.Execution{
		Command: agent.Command{Args: req.Args, Dir: req.Dir, Stdout: k.log.stream(Stdout), Stderr: k.log.stream(Stderr)},
		Timeout: req.Timeout,
		Started: func(p *agent.Process) { k.mu.Lock(); defer k.mu.Unlock(); k.command = p },
	})
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return code, err
}

func ended(ctx context.Context) (int, error) {
	if cause := context.Cause(ctx); !errors.Is(cause, errKilled) {
		return fault.Internal, cause
	}
	return 128 + int(syscall.SIGKILL), nil
}

func (k *keeper) close(ctx context.Context) error {
	_ = k.guest.Close()
	// Who asked for the end gets an answer before it.
	answered, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if k.own.Shutdown(answered) != nil {
		_ = k.own.Close()
	}
	err := k.box.Close(ctx)
	k.served.Wait()
	k.release()
	return err
}

// handler is what a keeper does for its user's commands.
func (k *keeper) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containers/{name}", k.tellEnvironment)
	mux.HandleFunc("POST /containers/{name}/signal/{number}", k.signalContainer)
	mux.HandleFunc("POST /signal/{number}", func(w http.ResponseWriter, r *http.Request) {
		number := signalNumber(r)
		k.mu.Lock()
		command, cancel := k.command, k.cancel
		k.mu.Unlock()
		switch {
		case number == 0:
			http.Error(w, "no such signal", http.StatusBadRequest)
		case number == int(syscall.SIGKILL):
			cancel(errKilled)
		case k.signalPod(number):
		case command == nil:
			cancel(errKilled) // the sandbox is the process that waits
		default:
			if err := command.Signal(r.Context(), number); err != nil {
				http.Error(w, err.Error(), http.StatusBadGateway)
			}
		}
	})
	return mux
}

// signalNumber is the number of the signal that a request is about; 0: there is no
// such signal.
func signalNumber(r *http.Request) int {
	number, err := strconv.Atoi(r.PathValue("number"))
	if err != nil || number < 1 || number > 64 {
		return 0
	}
	return number
}

// Signal sends a Linux signal number to the command of a container or, without
// its name, to the sandbox's own. SIGKILL to the sandbox, and any signal to one
// without a command, ends it.
func (s *Store) Signal(ctx context.Context, e Entry, container string, number int) error {
	what, path := "sandbox "+e.Name, []string{"signal", strconv.Itoa(number)}
	if container != "" {
		what, path = "container "+container+" of "+what, append([]string{"containers", container}, path...)
	}
	if _, err := e.ask(ctx, http.MethodPost, path...); err != nil {
		return fault.WithHint(fmt.Errorf("signalling %s: %w", what, err), "`bulkhead ps -a -o json` says how it is")
	}
	return nil
}

// ask has the keeper of a sandbox do something, and returns its answer.
func (e Entry) ask(ctx context.Context, method string, path ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", filepath.Join(e.dir, ownSocket))
		},
	}}
	req, err := http.NewRequestWithContext(ctx, method, (&url.URL{Scheme: "http", Host: "keeper"}).JoinPath(path...).String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(strings.TrimSpace(string(answer)))
	}
	return answer, err
}

// answer is what a new keeper tells the process that started it.
type answer struct {
	Error string `json:"error,omitempty"`
	Hint  string `json:"hint,omitempty"`
	Code  int    `json:"code,omitempty"`
}

// Answer writes err, nil for success, to who started this keeper.
func Answer(to io.Writer, err error) error {
	var a answer
	if err != nil {
		a = answer{Error: err.Error(), Hint: fault.Hint(err), Code: fault.Code(err, fault.Internal)}
	}
	return json.NewEncoder(to).Encode(a)
}

// ReadAnswer returns the error that a new keeper answered with.
func ReadAnswer(from io.Reader) error {
	var a answer
	if err := json.NewDecoder(io.LimitReader(from, 1<<20)).Decode(&a); err != nil {
		return fmt.Errorf("the keeper of the sandbox ended before it was up: %w", err)
	}
	if a.Error == "" {
		return nil
	}
	return fault.WithHint(fault.WithCode(errors.New(a.Error), a.Code), a.Hint)
}
