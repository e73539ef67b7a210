package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

const (
	// resolveTimeout bounds the resolution of a name, dialTimeout the attempt
	// to connect to one address.
	resolveTimeout = 5 * time.Second
	dialTimeout    = 10 * time.Second
	// maxAddresses is how many addresses of one name are tried.
	maxAddresses = 4
)

// Denial is a connection that was refused. Its texts hold what the guest asked
// for, in the checked form of a host and a port or quoted: show them escaped.
type Denial struct {
	// Target is HOST:PORT.
	Target string
	// Reason is a phrase for the operator; it may hold an address that the
	// guest does not learn.
	Reason string
	// Fix is the rule that would allow it; "" where none should.
	Fix string
}

// Error is what the guest learns.
func (d Denial) Error() string { return "egress to " + d.Target + " is denied" }

// errUnreachable is what a guest learns of failures that are no denials.
var errUnreachable = errors.New("it cannot be resolved or reached")

// dial connects to t when the rules allow it: to an address that was checked,
// never to a name that could lead elsewhere by then.
func (p *Proxy) dial(ctx context.Context, t target) (net.Conn, error) {
	if !p.rules.allows(t) {
		fix := t.String()
		if t.port == defaultPort && t.name != "" {
			fix = t.name
		}
		return nil, p.deny(Denial{Target: t.String(), Reason: "no --allow names it", Fix: fix})
	}
	addrs, err := p.addresses(ctx, t)
	if err != nil {
		return nil, errUnreachable
	}
	var denial *Denial
	for _, addr := range addrs[:min(len(addrs), maxAddresses)] {
		if reason := p.refuse(t, addr); reason != "" {
			denial = &Denial{
				Target: t.String(), Reason: fmt.Sprintf("it leads to %s: %s", addr, reason),
				Fix: netip.AddrPortFrom(addr, t.port).String(),
			}
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		conn, err := p.connect(ctx, netip.AddrPortFrom(addr, t.port))
		cancel()
		if err == nil {
			return conn, nil
		}
	}
	if denial != nil {
		return nil, p.deny(*denial)
	}
	return nil, errUnreachable
}

// addresses resolves t. localhost is never asked of a resolver.
func (p *Proxy) addresses(ctx context.Context, t target) ([]netip.Addr, error) {
	if t.addr.IsValid() {
		return []netip.Addr{t.addr}, nil
	}
	if t.name == localhost {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	// With a dot at its end the name is whole: no search domain is tried.
	addrs, err := p.resolve(ctx, t.name+".")
	for i := range addrs {
		addrs[i] = addrs[i].Unmap()
	}
	return addrs, err
}

const localhost = "localhost"

// refuse says why an address may not be connected to; "" when it may.
func (p *Proxy) refuse(t target, addr netip.Addr) string {
	if addr.Zone() != "" {
		return "an address with a zone"
	}
	if p.rules.namesAddr(addr, t.port) || t.name == localhost && addr.IsLoopback() {
		return ""
	}
	return notPublic(addr)
}

// deny tells the operator of a denial the first time, and returns it.
func (p *Proxy) deny(d Denial) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.denied == nil || p.told[d] {
		return d
	}
	switch {
	case len(p.told) < maxDenials:
		p.told[d] = true
		p.denied(d)
	case !p.told[Denial{}]:
		p.told[Denial{}] = true
		p.denied(Denial{Target: "more places", Reason: fmt.Sprintf("only the first %d denials are told", maxDenials)})
	}
	return d
}
