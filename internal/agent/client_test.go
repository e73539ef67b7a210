package agent

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/hashicorp/yamux"
	"go.uber.org/goleak"

	"github.com/bulkhead-dev/bulkhead/internal/agentapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hostile serves h as a guest agent that is not ours.
func hostile(t *testing.T, h http.Handler) *Client {
	t.Helper()
	host, guest := net.Pipe()
	config := yamux.DefaultConfig()
	config.LogOutput = io.Discard
	session, err := yamux.Server(guest, config)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(session) }()
	c, err := NewClient(host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		_ = session.Close()
		_ = server.Close()
		<-done
		c.http.CloseIdleConnections()
	})
	return c
}

// stream answers a call of the process service with raw envelopes.
func stream(bodies ...[]byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/connect+json")
		for _, b := range bodies {
			_, _ = w.Write(b)
		}
	})
}

// envelope frames a message of the Connect protocol.
func envelope(flags byte, message string) []byte {
	b := append([]byte{flags}, binary.BigEndian.AppendUint32(nil, uint32(len(message)))...)
	return append(b, message...)
}

var (
	started = envelope(0, `{"event":{"start":{"pid":7}}}`)
	end     = envelope(2, `{}`)
)

func TestHostileStart(t *testing.T) {
	for name, h := range map[string]http.Handler{
		"not a stream":           http.NotFoundHandler(),
		"redirect off the guest": http.RedirectHandler("http://127.0.0.1:1/", http.StatusTemporaryRedirect),
		"empty stream":           stream(end),
		"no end frame":           stream(),
		"not JSON":               stream(envelope(0, "{{{"), end),
		"wrong types":            stream(envelope(0, `{"event":{"start":{"pid":"seven"}}}`), end),
		"end before start":       stream(envelope(0, `{"event":{"end":{"exitCode":0,"exited":true}}}`), end),
		"an event that is none":  stream(envelope(0, `{}`), end),
		"announces 4 GiB":        stream([]byte{0, 0xff, 0xff, 0xff, 0xff}),
		"announces compression":  stream(envelope(1, "not gzip"), end),
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			if p, err := hostile(t, h).Start(ctx, Command{Args: []string{"true"}}); err == nil {
				p.close()
				t.Error("Start believed it")
			} else if ctx.Err() != nil {
				t.Errorf("Start waited to its limit: %v", err)
			}
		})
	}
}

func TestHostileWait(t *testing.T) {
	for _, tt := range []struct {
		name string
		body []byte
		code int
		lost bool
	}{
		{"exit code below 0", envelope(0, `{"event":{"end":{"exitCode":-1}}}`), 255, false},
		{"exit code above 255", envelope(0, `{"event":{"end":{"exitCode":256}}}`), 255, false},
		{"events that are none", append(envelope(0, `{}`), envelope(0, `{"event":{"end":{"exitCode":3}}}`)...), 3, false},
		{"two starts", append(envelope(0, `{"event":{"start":{"pid":1}}}`), envelope(0, `{"event":{"end":{}}}`)...), 0, false},
		{"no end", nil, 0, true},
		{"message over the bound", envelope(0, `{"event":{"data":{"stdout":"`+strings.Repeat("A", agentapi.MaxMessageBytes)+`"}}}`), 0, true},
		{"half a message", envelope(0, `{"event":{"data":{"stdout":"AAAA"}}}`)[:20], 0, true},
		{"base64 that is none", envelope(0, `{"event":{"data":{"stdout":"!!!"}}}`), 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			c := hostile(t, stream(started, tt.body, end))
			p, err := c.Start(ctx, Command{Args: []string{"true"}, Stdout: io.Discard})
			if err != nil {
				t.Fatal(err)
			}
			exit, err := p.Wait(ctx)
			if (err != nil) != tt.lost || exit.Code != tt.code {
				t.Errorf("Wait: code %d, %v", exit.Code, err)
			}
			if tt.lost && !errors.Is(err, ErrLost) {
				t.Errorf("Wait: %v, want ErrLost", err)
			}
		})
	}
}

// TestFlood: a guest that prints without end costs the host a bounded amount of
// memory, and a host that stops reading ends the call.
func TestFlood(t *testing.T) {
	chunk := envelope(0, `{"event":{"data":{"stdout":"`+strings.Repeat("AAAA", 8<<10)+`"}}}`)
	c := hostile(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/connect+json")
		_, _ = w.Write(started)
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out := &counter{limit: 64 << 20}
	p, err := c.Start(ctx, Command{Args: []string{"yes"}, Stdout: out})
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	if _, err := p.Wait(ctx); !errors.Is(err, errFull) {
		t.Errorf("Wait: %v, want the writer's own error", err)
	}
	if grown := int64(heap()) - int64(before); grown > 16<<20 {
		t.Errorf("64 MiB of output grew the heap by %d bytes", grown)
	}
}

var errFull = errors.New("full")

// counter takes limit bytes.
type counter struct{ n, limit int }

func (c *counter) Write(p []byte) (int, error) {
	if c.n += len(p); c.n > c.limit {
		return 0, errFull
	}
	return len(p), nil
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestSilentGuest: a guest that never answers holds up its caller until the
// caller's own limit, and no longer.
func TestSilentGuest(t *testing.T) {
	release := make(chan struct{})
	c := hostile(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(release) })
	for name, call := range map[string]func(context.Context) error{
		"Identity": func(ctx context.Context) error { _, err := c.Identity(ctx); return err },
		"Start":    func(ctx context.Context) error { _, err := c.Start(ctx, Command{Args: []string{"true"}}); return err },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		begin := time.Now()
		if err := call(ctx); err == nil {
			t.Errorf("%s: no error", name)
		}
		if took := time.Since(begin); took > 5*time.Second {
			t.Errorf("%s took %s", name, took)
		}
		cancel()
	}
}

func TestHostileIdentity(t *testing.T) {
	for name, body := range map[string]string{
		"not JSON":       "x",
		"over the bound": `{"kernel":"` + strings.Repeat("k", maxIdentityBytes) + `"}`,
	} {
		c := hostile(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
		if id, err := c.Identity(t.Context()); err == nil {
			t.Errorf("%s: believed %+v", name, id)
		}
	}
}

func TestStartErrors(t *testing.T) {
	for _, tt := range []struct {
		code connect.Code
		want error
	}{{connect.CodeNotFound, ErrNotFound}, {connect.CodePermissionDenied, ErrNotExecutable}} {
		h := connect.NewServerStreamHandler(agentapi.ProcessStart, func(context.Context, *connect.Request[agentapi.StartRequest], *connect.ServerStream[agentapi.EventResponse]) error {
			return connect.NewError(tt.code, errors.New("reason"))
		}, connect.WithCodec(agentapi.Codec{}))
		mux := http.NewServeMux()
		mux.Handle(agentapi.ProcessStart, h)
		if _, err := hostile(t, mux).Start(t.Context(), Command{Args: []string{"x"}}); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), "reason") {
			t.Errorf("%s: %v", tt.code, err)
		}
	}
}

// scripted is a stream whose guest says what the fuzzer wants.
type scripted struct {
	io.Reader
}

func (scripted) Write(p []byte) (int, error) { return len(p), nil }
func (scripted) Close() error                { return nil }

// FuzzStream feeds arbitrary bytes to the host as the guest's end of the stream.
func FuzzStream(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0})
	f.Add(append([]byte{0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 40}, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"...))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := NewClient(scripted{bytes.NewReader(data)})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, _ = c.Identity(ctx)
	})
}

// A deadline is the host's own: the guest is not told of it.
func TestDeadlineStaysHere(t *testing.T) {
	told := make(chan string, 1)
	release := make(chan struct{})
	c := hostile(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		told <- r.Header.Get("Connect-Timeout-Ms")
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(func() { close(release) })
	ctx, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer stop()
	if _, err := c.Start(ctx, Command{Args: []string{"sleep"}}); err == nil {
		t.Error("started, though the guest never said so")
	}
	if got := <-told; got != "" {
		t.Errorf("the guest was told of a deadline: %s ms", got)
	}
}

// TestNotLent: without a socket there is no guest agent any more.
func TestNotLent(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "guest.sock")
	start := func() error {
		c := Dial(socket)
		defer c.Close()
		_, err := c.Start(t.Context(), Command{Args: []string{"true"}})
		return err
	}
	if err := start(); !errors.Is(err, ErrLost) {
		t.Errorf("no socket: %v, want ErrLost", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	if err := start(); !errors.Is(err, ErrLost) {
		t.Errorf("a socket that nobody serves: %v, want ErrLost", err)
	}
}
