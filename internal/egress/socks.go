package egress

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strconv"
	"time"
)

// SOCKS 5 (RFC 1928): no authentication, CONNECT only.
const (
	socksVersion = 5

	socksNoAuth       = 0
	socksNoAcceptable = 0xff

	socksConnect = 1

	socksIPv4 = 1
	socksName = 3
	socksIPv6 = 4

	socksOK              = 0
	socksNotAllowed      = 2
	socksHostUnreachable = 4
	socksBadCommand      = 7
	socksBadAddress      = 8
)

// serveSOCKS serves one connection whose first byte is the version.
func (p *Proxy) serveSOCKS(ctx context.Context, c *guestConn) {
	_ = c.SetDeadline(time.Now().Add(headerTimeout))
	if !greetSOCKS(c) {
		return
	}
	t, code := p.readSOCKS(c)
	if code != socksOK {
		_ = replySOCKS(c, code)
		return
	}
	_ = c.SetDeadline(time.Time{})
	remote, err := p.dial(ctx, t)
	if err != nil {
		code := byte(socksHostUnreachable)
		var d Denial
		if errors.As(err, &d) {
			code = socksNotAllowed
		}
		_ = replySOCKS(c, code)
		return
	}
	if err := replySOCKS(c, socksOK); err != nil {
		_ = remote.Close()
		return
	}
	relay(ctx, c, remote)
}

// greetSOCKS agrees on no authentication.
func greetSOCKS(c io.ReadWriter) bool {
	var head [2]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return false
	}
	methods := make([]byte, head[1])
	if _, err := io.ReadFull(c, methods); err != nil {
		return false
	}
	for _, m := range methods {
		if m == socksNoAuth {
			_, err := c.Write([]byte{socksVersion, socksNoAuth})
			return err == nil
		}
	}
	_, _ = c.Write([]byte{socksVersion, socksNoAcceptable})
	return false
}

// readSOCKS reads a request; code says what is wrong with it.
func (p *Proxy) readSOCKS(c io.Reader) (t target, code byte) {
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil || head[0] != socksVersion {
		return target{}, socksBadCommand
	}
	var hostText string
	var err error
	switch head[3] {
	case socksIPv4:
		var b [4]byte
		_, err = io.ReadFull(c, b[:])
		hostText = netip.AddrFrom4(b).String()
	case socksIPv6:
		var b [16]byte
		_, err = io.ReadFull(c, b[:])
		hostText = netip.AddrFrom16(b).String()
	case socksName:
		var n [1]byte
		if _, err = io.ReadFull(c, n[:]); err == nil {
			b := make([]byte, n[0])
			_, err = io.ReadFull(c, b)
			hostText = string(b)
		}
	default:
		return target{}, socksBadAddress
	}
	var port [2]byte
	if err == nil {
		_, err = io.ReadFull(c, port[:])
	}
	if err != nil {
		return target{}, socksBadAddress
	}
	if head[1] != socksConnect {
		return target{}, socksBadCommand
	}
	t, err = parseTarget(hostText, strconv.Itoa(int(binary.BigEndian.Uint16(port[:]))))
	if err != nil {
		_ = p.malformed(hostText, err)
		return target{}, socksNotAllowed
	}
	return t, socksOK
}

func replySOCKS(c io.Writer, code byte) error {
	_, err := c.Write([]byte{socksVersion, code, 0, socksIPv4, 0, 0, 0, 0, 0, 0})
	return err
}
