package agent

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/hashicorp/yamux"

	"github.com/bulkhead-dev/bulkhead/internal/agentapi"
)

// Egress has the guest agent offer a way out at agentapi.EgressAddress, and
// returns the listener at which its connections arrive. What they carry is the
// guest's. Accept fails when the client is closed; closing the listener closes
// nothing else.
func (c *Client) Egress(ctx context.Context) (net.Listener, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+agentapi.EgressPath, http.NoBody)
	if err != nil {
		return nil, err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("opening the way out: %w", plain(err))
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusNoContent {
		return nil, fmt.Errorf("opening the way out: the guest agent answers with status %d", res.StatusCode)
	}
	return &egressListener{session: c.session}, nil
}

type egressListener struct {
	session *yamux.Session
}

func (l *egressListener) Accept() (net.Conn, error) {
	s, err := l.session.AcceptStream()
	if err != nil {
		return nil, plain(err)
	}
	return &egressConn{s}, nil
}

func (l *egressListener) Close() error   { return nil }
func (l *egressListener) Addr() net.Addr { return l.session.Addr() }

// egressConn is one connection of the guest.
type egressConn struct {
	*yamux.Stream
}

// CloseWrite says that no more comes from the host.
func (c *egressConn) CloseWrite() error { return c.Stream.Close() }

// Close ends the connection. A guest that does not end its side holds the
// stream until the session's StreamCloseTimeout, and Close waits: who counts
// connections counts this one.
func (c *egressConn) Close() error {
	err := c.Stream.Close()
	_, _ = io.Copy(io.Discard, c.Stream)
	return err
}
