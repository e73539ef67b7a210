package guest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"github.com/bulkhead-dev/bulkhead/internal/agentapi"
)

// openPort connects the host to a port of the sandbox's own loopback device.
func openPort(w http.ResponseWriter, r *http.Request) {
	port, err := strconv.ParseUint(r.PathValue("port"), 10, 16)
	if err != nil || port == 0 || r.Header.Get("Upgrade") != agentapi.PortProtocol {
		http.Error(w, "give a port between 1 and 65535, and Upgrade: "+agentapi.PortProtocol, http.StatusBadRequest)
		return
	}
	conn, err := dialLoopback(r.Context(), strconv.FormatUint(port, 10))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	stream, early, err := http.NewResponseController(w).Hijack()
	if err != nil {
		_ = conn.Close()
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if _, err := fmt.Fprintf(stream, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", agentapi.PortProtocol); err != nil {
		_, _ = conn.Close(), stream.Close()
		return
	}
	splice(upgraded{stream, early.Reader}, conn)
}

// dialLoopback tries both families: a program may listen on one only.
func dialLoopback(ctx context.Context, port string) (conn net.Conn, err error) {
	var d net.Dialer
	for _, host := range []string{"127.0.0.1", "::1"} {
		if conn, err = d.DialContext(ctx, "tcp", net.JoinHostPort(host, port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// upgraded is a stream of which something was read ahead.
type upgraded struct {
	io.WriteCloser
	ahead *bufio.Reader
}

func (u upgraded) Read(p []byte) (int, error) { return u.ahead.Read(p) }
