//go:build linux

package sandboxtest

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
)

// echo answers one connection on each family with what it sends, doubled.
const echo = `
import socket, sys, threading
def serve(s):
    c, _ = s.accept()
    data = b""
    while True:
        part = c.recv(65536)
        if not part: break
        data += part
    c.sendall(data + data)
    c.close()
a = socket.create_server(("127.0.0.1", 7001))
b = socket.socket(socket.AF_INET6); b.bind(("::1", 7002)); b.listen()
print("listening", flush=True)
for s in (a, b): threading.Thread(target=serve, args=(s,)).start()
`

// ports: the host reaches what listens in the sandbox through the stream.
func (s *suite) ports(t *testing.T) {
	c, _ := s.boot(t, s.spec())
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	out, write := io.Pipe()
	p, err := c.Start(ctx, agent.Command{Args: []string{"python3", "-c", echo}, Stdout: write})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _, _ = p.Wait(ctx) }()
	if _, err := io.ReadFull(out, make([]byte, len("listening\n"))); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	for _, port := range []int{7001, 7002} {
		dialed, stop := context.WithCancel(ctx)
		conn, err := c.DialPort(dialed, port)
		stop() // bounds the connecting only
		if err != nil {
			t.Fatal(err)
		}
		sent := strings.Repeat("0123456789", 50_000)
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got := answer(t, conn); got != sent+sent {
			t.Errorf("port %d answered %d bytes, want %d", port, len(got), 2*len(sent))
		}
	}
	<-ended
	if conn, err := c.DialPort(ctx, 7001); err == nil {
		conn.Close()
		t.Error("a port that nobody listens on was connected")
	}
}

// answer reads to the end, within the suite's limit.
func answer(t *testing.T, conn net.Conn) string {
	t.Helper()
	timer := time.AfterFunc(limit, func() { conn.Close() })
	defer timer.Stop()
	defer conn.Close()
	b, err := io.ReadAll(conn)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
