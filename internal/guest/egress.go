package guest

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/bulkhead-dev/bulkhead/internal/agentapi"
)

// openEgress offers the host's proxy on the loopback device. It is idempotent.
// The agent carries bytes; who may reach what is decided on the host.
func (s *Server) openEgress(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.egress == nil {
		// It lives as long as the agent, not as long as the request.
		l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", agentapi.EgressAddress)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		s.egress = l
		go s.serveEgress(l)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) serveEgress(l net.Listener) {
	slots := make(chan struct{}, agentapi.MaxEgressConns)
	for {
		slots <- struct{}{}
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { <-slots }()
			s.carry(conn)
		}()
	}
}

// carry copies between a connection of the sandbox and a stream to the host.
func (s *Server) carry(conn net.Conn) {
	defer conn.Close()
	stream, err := s.session.OpenStream()
	if err != nil {
		return
	}
	splice(stream, conn)
}

// splice copies between a connection of the sandbox and a stream to the host
// until both ended, and closes both.
func splice(stream io.ReadWriteCloser, conn net.Conn) {
	defer stream.Close()
	defer conn.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(stream, conn)
		_ = stream.Close() // half: what the host sends still arrives
	})
	wg.Go(func() {
		_, _ = io.Copy(conn, stream)
		if half, ok := conn.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
	})
	wg.Wait()
}
