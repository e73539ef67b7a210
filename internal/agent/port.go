package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/hashicorp/yamux"

	"github.com/bulkhead-dev/bulkhead/internal/agentapi"
)

// DialPort connects to a TCP port of the sandbox's loopback device. What comes
// out of the connection is hostile. ctx bounds the connecting; deadlines of the
// connection have no effect: close it.
func (c *Client) DialPort(ctx context.Context, port int) (net.Conn, error) {
	conn, err := c.upgrade(ctx, port)
	if err != nil {
		return nil, fmt.Errorf("connecting to port %d of the sandbox: %w", port, err)
	}
	return portConn{conn}, nil
}

func (c *Client) upgrade(ctx context.Context, port int) (io.ReadWriteCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+agentapi.PortPath+strconv.Itoa(port), http.NoBody)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", agentapi.PortProtocol)
	res, err := c.http.Do(req)
	if err != nil {
		return nil, plain(err)
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return nil, refusal(res)
	}
	conn, ok := res.Body.(io.ReadWriteCloser)
	if !ok {
		return nil, errors.Join(errors.New("the guest agent did not switch protocols"), res.Body.Close())
	}
	return conn, nil
}

// halfCloser is a stream whose Close ends one direction only, as yamux has it.
type halfCloser struct {
	*yamux.Stream
}

// CloseWrite says that no more comes from the host.
func (s halfCloser) CloseWrite() error { return s.Close() }

// portConn is a connection into the sandbox.
type portConn struct {
	io.ReadWriteCloser
}

// CloseWrite says that no more comes from the host.
func (c portConn) CloseWrite() error {
	half, ok := c.ReadWriteCloser.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

func (portConn) LocalAddr() net.Addr              { return portAddr{} }
func (portConn) RemoteAddr() net.Addr             { return portAddr{} }
func (portConn) SetDeadline(time.Time) error      { return nil }
func (portConn) SetReadDeadline(time.Time) error  { return nil }
func (portConn) SetWriteDeadline(time.Time) error { return nil }

type portAddr struct{}

func (portAddr) Network() string { return agentapi.PortProtocol }
func (portAddr) String() string  { return "sandbox" }
