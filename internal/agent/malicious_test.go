package agent

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agentapi"
)

// raw answers each request with bytes of its own on the connection.
func raw(write func(w io.Writer)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		write(conn)
	})
}

// forever writes text until nobody takes it.
func forever(before, text string) func(io.Writer) {
	return func(w io.Writer) {
		if _, err := io.WriteString(w, before); err != nil {
			return
		}
		for {
			if _, err := io.WriteString(w, text); err != nil {
				return
			}
		}
	}
}

// TestMaliciousAgent: whatever a guest answers, each call of the host ends by
// itself, with an error, and the host's memory does not grow with the answer.
func TestMaliciousAgent(t *testing.T) {
	calls := map[string]func(context.Context, *Client) error{
		"Identity": func(ctx context.Context, c *Client) error { _, err := c.Identity(ctx); return err },
		"Start": func(ctx context.Context, c *Client) error {
			p, err := c.Start(ctx, Command{Args: []string{"true"}})
			if err == nil {
				p.close()
			}
			return err
		},
		"DialPort": func(ctx context.Context, c *Client) error {
			conn, err := c.DialPort(ctx, 80)
			if err == nil {
				conn.Close()
			}
			return err
		},
		"Upload": func(ctx context.Context, c *Client) error { return c.Upload(ctx, "/", "x", strings.NewReader("data")) },
		"Egress": func(ctx context.Context, c *Client) error { _, err := c.Egress(ctx); return err },
	}
	for name, h := range map[string]http.Handler{
		"endless headers":             raw(forever("HTTP/1.1 200 OK\r\n", "X-A: "+strings.Repeat("a", 1000)+"\r\n")),
		"one endless header":          raw(forever("HTTP/1.1 200 OK\r\nX-A: ", strings.Repeat("a", 4096))),
		"an endless status line":      raw(forever("HTTP/1.1 200 ", strings.Repeat("a", 4096))),
		"interim answers without end": raw(forever("", "HTTP/1.1 103 Early Hints\r\n\r\n")),
		"an endless reason":           raw(forever("HTTP/1.1 500 No\r\n\r\n", "because ")),
		"endless chunks of a reason":  raw(forever("HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n", "4\r\nabcd\r\n")),
		"two lengths": raw(func(w io.Writer) {
			_, _ = io.WriteString(w, "HTTP/1.1 500 No\r\nContent-Length: 1\r\nContent-Length: 9\r\n\r\nx")
		}),
		"a length below 0": raw(func(w io.Writer) { _, _ = io.WriteString(w, "HTTP/1.1 500 No\r\nContent-Length: -1\r\n\r\nx") }),
		"another protocol": raw(func(w io.Writer) { _, _ = io.WriteString(w, "SSH-2.0-OpenSSH_9.9\r\n") }),
		"nothing":          raw(func(io.Writer) {}),
	} {
		for call, do := range calls {
			t.Run(name+"/"+call, func(t *testing.T) {
				c := hostile(t, h)
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				before := heap()
				err := do(ctx, c)
				if err == nil {
					t.Error("it was believed")
				}
				if ctx.Err() != nil {
					t.Errorf("it waited to its limit: %v", err)
				}
				if len(err.Error()) > 64<<10 {
					t.Errorf("the error has %d bytes", len(err.Error()))
				}
				if grown := int64(heap()) - int64(before); grown > 16<<20 {
					t.Errorf("the heap grew by %d bytes", grown)
				}
			})
		}
	}
}

// TestDownloadWithoutEnd: a copy ends when the host has enough of it.
func TestDownloadWithoutEnd(t *testing.T) {
	c := hostile(t, raw(forever("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 32<<10))))
	body, err := c.Download(t.Context(), "/x")
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	if n, err := io.CopyN(io.Discard, body, 64<<20); err != nil || n != 64<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if grown := int64(heap()) - int64(before); grown > 16<<20 {
		t.Errorf("64 MiB grew the heap by %d bytes", grown)
	}
	_ = body.Close()
}

// FuzzAnswers feeds arbitrary answers to every call of the host.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\nhello"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/connect+json\r\n\r\n\x00\x00\x00\x00\x1d{\"event\":{\"start\":{\"pid\":7}}}"))
	f.Add([]byte("HTTP/1.1 204 No Content\r\n\r\n"))
	f.Fuzz(func(t *testing.T, answer []byte) {
		c := hostile(t, raw(func(w io.Writer) { _, _ = w.Write(answer) }))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if id, err := c.Identity(ctx); err == nil && len(id.Kernel) > maxIdentityBytes {
			t.Errorf("a kernel of %d bytes", len(id.Kernel))
		}
		if p, err := c.Start(ctx, Command{Args: []string{"true"}, Stdout: io.Discard}); err == nil {
			if exit, err := p.Wait(ctx); err == nil && (exit.Code < 0 || exit.Code > 255) {
				t.Errorf("exit code %d", exit.Code)
			}
		}
		if conn, err := c.DialPort(ctx, 80); err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(conn, agentapi.MaxMessageBytes))
			conn.Close()
		}
		if body, err := c.Download(ctx, "/x"); err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(body, agentapi.MaxMessageBytes))
			_ = body.Close()
		}
	})
}
