// Package egress is the way out of a sandbox: a proxy on the host for HTTP,
// CONNECT and SOCKS5, which connects to what the rules name and nothing else.
//
// The guest has no network device. Whatever it wants to reach it asks of this
// proxy, over connections that come out of its stream; all of it is hostile.
// The proxy compares names in one form, resolves them itself, checks the
// addresses, and connects to an address that it checked. Private, loopback,
// link-local and metadata addresses, those of this machine, and IPv6 forms that
// hide an IPv4 address are refused unless a rule names the address.
package egress

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of what a guest can hold of the host.
const (
	// maxHeaderBytes bounds the header of a request or an answer.
	maxHeaderBytes = 16 << 10
	// headerTimeout bounds the time until a request is read.
	headerTimeout = 10 * time.Second
	// idleTimeout ends a connection on which no byte moved.
	idleTimeout = 10 * time.Minute
	// maxDenials is how many different denials are told of.
	maxDenials = 100
)

// Proxy serves the guest of one sandbox.
type Proxy struct {
	rules   Rules
	denied  func(Denial)
	resolve func(ctx context.Context, name string) ([]netip.Addr, error)
	connect func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	forward http.Handler

	mu   sync.Mutex
	told map[Denial]bool
}

// New returns a proxy. denied is called for each denial once, one at a time; it
// must not block. nil: nobody is told.
func New(rules Rules, denied func(Denial)) *Proxy {
	p := &Proxy{
		rules: rules, denied: denied, told: map[Denial]bool{},
		resolve: func(ctx context.Context, name string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", name)
		},
		connect: func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", to.String())
		},
	}
	p.forward = p.newForward()
	return p
}

// ReachesLoopback reports whether a rule names a service on this machine's
// loopback. Programs must then not be told to leave localhost to the sandbox.
func (p *Proxy) ReachesLoopback() bool { return p.rules.loopback() }

// Serve answers the connections that l accepts, at most limit at a time, until
// l fails; then it ends those that are left. It returns l's error.
func (p *Proxy) Serve(ctx context.Context, l net.Listener, limit int) error {
	ctx, cancel := context.WithCancel(ctx)
	requests := &queue{conns: make(chan net.Conn), done: ctx.Done(), addr: l.Addr()}
	server := &http.Server{
		Handler: p, MaxHeaderBytes: maxHeaderBytes, ReadHeaderTimeout: headerTimeout, IdleTimeout: time.Minute,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(requests) })
	defer wg.Wait()
	defer func() { _ = server.Close() }()
	defer cancel()
	slots := make(chan struct{}, limit)
	for {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		c := &guestConn{Conn: conn, reader: bufio.NewReaderSize(conn, 4<<10), release: func() { <-slots }}
		wg.Go(func() { p.serve(ctx, c, requests) })
	}
}

// serve finds out by the first byte what the guest speaks.
func (p *Proxy) serve(ctx context.Context, c *guestConn, requests *queue) {
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	_ = c.SetReadDeadline(time.Now().Add(headerTimeout))
	first, err := c.reader.Peek(1)
	switch {
	case err != nil:
		_ = c.Close()
	case first[0] == socksVersion:
		defer func() { _ = c.Close() }()
		p.serveSOCKS(ctx, c)
	default:
		_ = c.SetReadDeadline(time.Time{})
		select {
		case requests.conns <- c:
		case <-ctx.Done():
			_ = c.Close()
		}
	}
}

// guestConn is a connection of the guest, with what was read ahead of it.
type guestConn struct {
	net.Conn
	reader  *bufio.Reader
	release func()
	once    sync.Once
}

// Read reads what was read ahead first.
func (c *guestConn) Read(b []byte) (int, error) { return c.reader.Read(b) }

// CloseWrite says that no more comes from here.
func (c *guestConn) CloseWrite() error { return closeWrite(c.Conn) }

// Close ends the connection and gives its place to another.
func (c *guestConn) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.release)
	return err
}

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return c.Close()
}

// queue hands connections to the HTTP server.
type queue struct {
	conns chan net.Conn
	done  <-chan struct{}
	addr  net.Addr
}

func (q *queue) Accept() (net.Conn, error) {
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

func (q *queue) Close() error   { return nil }
func (q *queue) Addr() net.Addr { return q.addr }

// relay copies both ways until both ended, one failed, ctx ended or nothing
// moved for idleTimeout. It closes both connections.
func relay(ctx context.Context, guest, remote net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = guest.Close(); _ = remote.Close() })
	defer stop()
	var moved atomic.Int64
	moved.Store(time.Now().UnixNano())
	var wg sync.WaitGroup
	wg.Go(func() { copyOneWay(remote, guest, &moved) })
	wg.Go(func() { copyOneWay(guest, remote, &moved) })
	wg.Wait()
	_, _ = guest.Close(), remote.Close()
}

func copyOneWay(to, from net.Conn, moved *atomic.Int64) {
	buf := make([]byte, 32<<10)
	for {
		_ = from.SetReadDeadline(time.Now().Add(idleTimeout))
		n, err := from.Read(buf)
		if n > 0 {
			moved.Store(time.Now().UnixNano())
			_ = to.SetWriteDeadline(time.Now().Add(idleTimeout))
			if _, err := to.Write(buf[:n]); err != nil {
				_, _ = from.Close(), to.Close()
				return
			}
		}
		var timeout net.Error
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			_ = closeWrite(to)
			return
		case errors.As(err, &timeout) && timeout.Timeout() && time.Since(time.Unix(0, moved.Load())) < idleTimeout:
			// The other direction is at work.
		default:
			_, _ = from.Close(), to.Close()
			return
		}
	}
}
