// Package agent is the host's side of the guest agent's stream. Everything that
// comes out of the stream is hostile: messages are bounded, nothing in them
// names anything on the host, and a guest that is silent or floods holds up
// only its own caller.
package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/yamux"

	"github.com/bulkhead-dev/bulkhead/internal/agentapi"
)

// maxIdentityBytes bounds the answer to Identity.
const maxIdentityBytes = 4 << 10

// base is the origin of every request. The name resolves nowhere: requests go
// over the stream and nothing else.
const base = "http://guest.invalid"

// Client speaks to one guest agent. It is safe for concurrent use.
type Client struct {
	session *yamux.Session // nil after Dial
	http    *http.Client

	startProcess *connect.Client[agentapi.StartRequest, agentapi.EventResponse]
	update       *connect.Client[agentapi.UpdateRequest, agentapi.Empty]
	sendInput    *connect.Client[agentapi.SendInputRequest, agentapi.Empty]
	closeStdin   *connect.Client[agentapi.CloseStdinRequest, agentapi.Empty]
	sendSignal   *connect.Client[agentapi.SendSignalRequest, agentapi.Empty]
}

// NewClient takes over stream. Close the client to close it.
func NewClient(stream io.ReadWriteCloser) (*Client, error) {
	config := yamux.DefaultConfig()
	config.EnableKeepAlive = false
	config.LogOutput = io.Discard
	// Each stream that a guest opens can hold a window of the host's memory
	// (256 KiB) before anybody looks at it. One more than the backlog is reset,
	// so it is as many as an honest guest opens at a time.
	config.AcceptBacklog = agentapi.MaxEgressConns
	config.StreamCloseTimeout = 30 * time.Second
	session, err := yamux.Client(stream, config)
	if err != nil {
		return nil, fmt.Errorf("opening the stream to the guest agent: %w", err)
	}
	return newClient(session, func(context.Context) (net.Conn, error) {
		stream, err := session.OpenStream()
		if err != nil {
			return nil, err
		}
		return halfCloser{stream}, nil
	}), nil
}

// Dial returns a client of a guest agent behind a socket at which another
// process serves Relay. Nothing is connected yet.
func Dial(socket string) *Client {
	return newClient(nil, func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", socket)
	})
}

func newClient(session *yamux.Session, dial func(context.Context) (net.Conn, error)) *Client {
	transport := &http.Transport{
		DialContext:            func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableCompression:     true,
		MaxIdleConnsPerHost:    4,
		MaxResponseHeaderBytes: 16 << 10,
	}
	c := &Client{session: session, http: &http.Client{Transport: transport, CheckRedirect: noRedirect}}
	opts := []connect.ClientOption{
		connect.WithCodec(agentapi.Codec{}),
		connect.WithReadMaxBytes(agentapi.MaxMessageBytes),
		// The default offers gzip: the guest could answer with a bomb, and
		// nothing is gained over a pipe.
		connect.WithAcceptCompression("gzip", nil, nil),
	}
	c.startProcess = connect.NewClient[agentapi.StartRequest, agentapi.EventResponse](c.http, base+agentapi.ProcessStart, opts...)
	c.update = connect.NewClient[agentapi.UpdateRequest, agentapi.Empty](c.http, base+agentapi.ProcessUpdate, opts...)
	c.sendInput = connect.NewClient[agentapi.SendInputRequest, agentapi.Empty](c.http, base+agentapi.ProcessSendInput, opts...)
	c.closeStdin = connect.NewClient[agentapi.CloseStdinRequest, agentapi.Empty](c.http, base+agentapi.ProcessCloseStdin, opts...)
	c.sendSignal = connect.NewClient[agentapi.SendSignalRequest, agentapi.Empty](c.http, base+agentapi.ProcessSendSignal, opts...)
	return c
}

// noRedirect: the guest does not choose where the host's requests go.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Close ends the stream, and the guest agent with it; after Dial, only the
// connections of this client.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	if c.session == nil {
		return nil
	}
	return c.session.Close()
}

// Relay gives conn, of another process of this user, a stream of its own to the
// guest agent, and copies bytes both ways until both ended. It closes conn.
func (c *Client) Relay(conn net.Conn) {
	defer conn.Close()
	stream, err := c.session.OpenStream()
	if err != nil {
		return
	}
	defer stream.Close()
	go func() {
		_, _ = io.Copy(stream, conn)
		_ = stream.Close()
	}()
	// An HTTP client needs the connection only as long as the server answers.
	_, _ = io.Copy(conn, stream)
}

// Identity asks what kernel the guest agent runs on. Only an answer given
// before any other process ran in the sandbox is worth something.
func (c *Client) Identity(ctx context.Context) (agentapi.Identity, error) {
	var id agentapi.Identity
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+agentapi.IdentityPath, nil)
	if err != nil {
		return id, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return id, fmt.Errorf("asking the guest agent for its identity: %w", plain(err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return id, fmt.Errorf("asking the guest agent for its identity: status %d", res.StatusCode)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, maxIdentityBytes)).Decode(&id); err != nil {
		return id, fmt.Errorf("reading the guest agent's identity: %w", err)
	}
	// To its end, so that the connection is used again.
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxIdentityBytes))
	return id, nil
}

// Command is what to execute in a sandbox.
type Command struct {
	// Args is the command and its arguments; the command is looked up in the
	// sandbox's PATH when it has no slash.
	Args []string
	// Env (K=V) is added to the agent's defaults.
	Env []string
	// Dir is the working directory; empty: the home folder.
	Dir string
	// Stdin is copied to the command; nil: empty standard input.
	Stdin io.Reader
	// Stdout and Stderr get the output. With a terminal all of it goes to Stdout.
	Stdout, Stderr io.Writer
	// Terminal gives the command a terminal of that size.
	Terminal *Size
}

// Size of a terminal in characters.
type Size struct {
	Columns, Rows uint32
}

// Exit is how a command ended.
type Exit struct {
	// Code is the command's exit code, or 128 plus the signal that ended it.
	Code int
	// Status is the guest's word for it; hostile text.
	Status string
}

// Errors that a command's start can end with.
var (
	// ErrNotFound: the command does not exist in the sandbox.
	ErrNotFound = errors.New("command not found")
	// ErrNotExecutable: it exists and cannot be executed.
	ErrNotExecutable = errors.New("command not executable")
	// ErrLost: the stream ended, or made no sense, before the command ended.
	ErrLost = errors.New("the sandbox was lost before the command ended")
)

// Process is a command that runs in a sandbox.
type Process struct {
	client *Client
	cmd    Command
	pid    uint32
	stream *connect.ServerStreamForClient[agentapi.EventResponse]
	cancel context.CancelFunc
}

// Start starts cmd. Canceling ctx abandons it: the caller then closes the sandbox.
func (c *Client) Start(ctx context.Context, cmd Command) (*Process, error) {
	if len(cmd.Args) == 0 {
		return nil, errors.New("no command given")
	}
	withStdin := cmd.Stdin != nil
	req := &agentapi.StartRequest{
		Process: &agentapi.ProcessConfig{Cmd: cmd.Args[0], Args: cmd.Args[1:], Cwd: cmd.Dir, Envs: map[string]string{}},
		Stdin:   &withStdin,
	}
	for _, kv := range cmd.Env {
		k, v, _ := strings.Cut(kv, "=")
		req.Process.Envs[k] = v
	}
	if cmd.Terminal != nil {
		req.PTY = &agentapi.PTY{Size: &agentapi.PTYSize{Cols: cmd.Terminal.Columns, Rows: cmd.Terminal.Rows}}
	}
	ctx, cancel := withoutDeadline(ctx)
	stream, err := c.startProcess.CallServerStream(ctx, connect.NewRequest(req))
	if err != nil {
		cancel()
		return nil, startError(err)
	}
	p := &Process{client: c, cmd: cmd, stream: stream, cancel: cancel}
	if !stream.Receive() || stream.Msg().Event == nil || stream.Msg().Event.Start == nil {
		defer p.close()
		if err := stream.Err(); err != nil {
			return nil, startError(err)
		}
		return nil, fmt.Errorf("starting the command: the guest agent did not say that it started: %w", ErrLost)
	}
	p.pid = stream.Msg().Event.Start.PID
	return p, nil
}

// withoutDeadline ends when ctx does and does not say when that will be. Whose
// clock ends a command is the host's affair: a guest that is told of a deadline
// may be the first to act on it, and its answer would hide the reason.
func withoutDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	undated, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, cancel)
	return undated, func() { stop(); cancel() }
}

// startError keeps the guest's reason and adds what callers branch on.
func startError(err error) error {
	err = plain(err)
	var ce *connect.Error
	if errors.As(err, &ce) {
		switch ce.Code() {
		case connect.CodeNotFound:
			return fmt.Errorf("%w: %s", ErrNotFound, ce.Message())
		case connect.CodePermissionDenied:
			return fmt.Errorf("%w: %s", ErrNotExecutable, ce.Message())
		default:
			return fmt.Errorf("starting the command: %s", ce.Message())
		}
	}
	return fmt.Errorf("starting the command: %w", err)
}

// plain replaces the stream's own errors, which name multiplexers and dummy
// hosts, by what they mean.
func plain(err error) error {
	for _, lost := range []error{yamux.ErrSessionShutdown, io.EOF, yamux.ErrStreamClosed, syscall.ENOENT, syscall.ECONNREFUSED} {
		if errors.Is(err, lost) { // the last two: nobody lends it any more, see Dial
			return ErrLost
		}
	}
	return err
}

// Wait copies the command's streams until it ends. It is called once.
func (p *Process) Wait(ctx context.Context) (Exit, error) {
	defer p.close()
	if p.cmd.Stdin != nil {
		inputCtx, stop := context.WithCancel(ctx)
		defer stop()
		go p.copyInput(inputCtx)
	}
	for p.stream.Receive() {
		e := p.stream.Msg().Event
		switch {
		case e == nil:
		case e.Data != nil:
			if err := p.output(e.Data); err != nil {
				return Exit{}, fmt.Errorf("writing the command's output: %w", err)
			}
		case e.End != nil:
			return Exit{Code: exitCode(e.End), Status: e.End.Status}, nil
		}
	}
	if ctx.Err() != nil {
		return Exit{}, ctx.Err()
	}
	if err := plain(p.stream.Err()); err != nil && !errors.Is(err, ErrLost) {
		return Exit{}, fmt.Errorf("%w: %w", ErrLost, err)
	}
	return Exit{}, ErrLost
}

// exitCode keeps what the guest says within what a process can end with.
func exitCode(e *agentapi.EndEvent) int {
	if e.ExitCode < 0 || e.ExitCode > 255 {
		return 255
	}
	return int(e.ExitCode)
}

func (p *Process) output(d *agentapi.DataEvent) error {
	for _, o := range []struct {
		to   io.Writer
		data []byte
	}{{p.cmd.Stdout, d.Stdout}, {p.cmd.Stderr, d.Stderr}, {p.cmd.Stdout, d.PTY}} {
		if len(o.data) == 0 || o.to == nil {
			continue
		}
		if _, err := o.to.Write(o.data); err != nil {
			return err
		}
	}
	return nil
}

// copyInput sends standard input until it ends or the command does. A command
// that does not read holds up only this copy.
func (p *Process) copyInput(ctx context.Context) {
	buf := make([]byte, agentapi.MaxChunkBytes)
	sel := &agentapi.Selector{PID: p.pid}
	for {
		n, err := p.cmd.Stdin.Read(buf)
		if n > 0 {
			in := &agentapi.Input{Stdin: buf[:n]}
			if p.cmd.Terminal != nil {
				in = &agentapi.Input{PTY: buf[:n]}
			}
			if _, err := p.client.sendInput.CallUnary(ctx, connect.NewRequest(&agentapi.SendInputRequest{Process: sel, Input: in})); err != nil {
				return
			}
		}
		if err != nil {
			_, _ = p.client.closeStdin.CallUnary(ctx, connect.NewRequest(&agentapi.CloseStdinRequest{Process: sel}))
			return
		}
	}
}

// PID is the process's number in the sandbox.
func (p *Process) PID() uint32 { return p.pid }

// Signal sends a Linux signal number to the command and its process group.
func (p *Process) Signal(ctx context.Context, signal int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req := &agentapi.SendSignalRequest{Process: &agentapi.Selector{PID: p.pid}, Signal: agentapi.Signal(signal)}
	if _, err := p.client.sendSignal.CallUnary(ctx, connect.NewRequest(req)); err != nil {
		return fmt.Errorf("signalling the command: %w", err)
	}
	return nil
}

// Resize tells the command's terminal its new size.
func (p *Process) Resize(ctx context.Context, size Size) error {
	req := &agentapi.UpdateRequest{
		Process: &agentapi.Selector{PID: p.pid},
		PTY:     &agentapi.PTY{Size: &agentapi.PTYSize{Cols: size.Columns, Rows: size.Rows}},
	}
	if _, err := p.client.update.CallUnary(ctx, connect.NewRequest(req)); err != nil {
		return fmt.Errorf("resizing the command's terminal: %w", err)
	}
	return nil
}

// close ends the call. The order matters: closing a stream reads it to its
// end, and a hostile one has none until its context is canceled.
func (p *Process) close() {
	p.cancel()
	_ = p.stream.Close()
}
