package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"github.com/bulkhead-dev/bulkhead/internal/metadata"
)

// defaultPort is what a rule without a port allows.
const defaultPort = 443

// Rules are the places that a sandbox may reach. The zero value allows none.
type Rules struct {
	names []nameRule
	nets  []netRule
}

// nameRule allows one name or, as a wildcard, every name below a domain.
type nameRule struct {
	name     string // lower-case ASCII, no dot at its end
	wildcard bool
	port     uint16
}

// netRule allows addresses, also those that no name may lead to.
type netRule struct {
	prefix netip.Prefix
	port   uint16
}

// ParseRules reads rules of the form HOST[:PORT]. HOST is a name, *.DOMAIN (any
// name below it, not the domain itself), an address, or a network such as
// 10.0.0.0/8; an IPv6 one stands in brackets when a port follows. Without a
// port, 443 is allowed.
func ParseRules(texts []string) (Rules, error) {
	var r Rules
	for _, text := range texts {
		if err := r.add(text); err != nil {
			return Rules{}, fmt.Errorf("%q: %w", text, err)
		}
	}
	return r, nil
}

func (r *Rules) add(text string) error {
	if strings.Contains(text, "://") {
		return errors.New("a scheme is given where a host stands")
	}
	host, port, err := splitRule(text)
	if err != nil {
		return err
	}
	if strings.Contains(host, "/") {
		prefix, err := netip.ParsePrefix(host)
		if err != nil || prefix.Addr().Is4In6() {
			return errors.New("not a network such as 10.0.0.0/8 (a rule has no path)")
		}
		r.nets = append(r.nets, netRule{prefix.Masked(), port})
		return nil
	}
	domain, wildcard := strings.CutPrefix(host, "*.")
	h, err := parseHost(domain)
	switch {
	case err != nil:
		return err
	case wildcard && (h.addr.IsValid() || !strings.Contains(h.name, ".")):
		return errors.New("a wildcard needs a domain of at least two labels, such as *.example.com")
	case h.addr.IsValid():
		r.nets = append(r.nets, netRule{netip.PrefixFrom(h.addr, h.addr.BitLen()), port})
	default:
		r.names = append(r.names, nameRule{h.name, wildcard, port})
	}
	return nil
}

// splitRule takes the port off, if there is one.
func splitRule(text string) (host string, port uint16, err error) {
	host, digits := text, ""
	switch {
	case strings.HasPrefix(text, "["):
		inner, rest, ok := strings.Cut(text[1:], "]")
		if !ok || rest != "" && !strings.HasPrefix(rest, ":") {
			return "", 0, errors.New("brackets that do not close, or something behind them that is no port")
		}
		host = inner
		if rest == "" {
			return host, defaultPort, nil
		}
		digits = rest[1:]
	case strings.Count(text, ":") == 1:
		host, digits, _ = strings.Cut(text, ":")
	default: // no port, or an IPv6 address without brackets
		return host, defaultPort, nil
	}
	port, err = parsePort(digits)
	return host, port, err
}

func parsePort(digits string) (uint16, error) {
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 || digits[0] < '0' || digits[0] > '9' {
		return 0, errors.New("the port is not a number from 1 to 65535")
	}
	return uint16(n), nil
}

// host is a name or an address.
type host struct {
	name string // lower-case ASCII, no dot at its end
	addr netip.Addr
}

// target is a host and a port that a guest asked for.
type target struct {
	host
	port uint16
}

func (t target) String() string {
	if t.addr.IsValid() {
		return netip.AddrPortFrom(t.addr, t.port).String()
	}
	return t.name + ":" + strconv.Itoa(int(t.port))
}

// parseHost reads a host as written by somebody, into the one form in which
// hosts are compared, resolved and shown.
func parseHost(text string) (host, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		if addr.Zone() != "" {
			return host{}, errors.New("an address with a zone")
		}
		return host{addr: addr.Unmap()}, nil
	}
	name := strings.ToLower(strings.TrimSuffix(text, "."))
	if strings.ContainsFunc(name, func(r rune) bool { return r > 127 }) || strings.Contains(name, "xn--") {
		ascii, err := idna.Lookup.ToASCII(name)
		if err != nil {
			return host{}, errors.New("not a host name (IDNA)")
		}
		name = strings.TrimSuffix(ascii, ".")
	}
	if len(name) > 253 {
		return host{}, errors.New("a host name of more than 253 characters")
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if !validLabel(label) {
			return host{}, errors.New("not a host name")
		}
	}
	// 127.1, 0x7f000001 and 2130706433 are addresses to some resolvers.
	if last := labels[len(labels)-1]; last[0] >= '0' && last[0] <= '9' {
		return host{}, errors.New("neither a host name nor an address in its plain form")
	}
	return host{name: name}, nil
}

func validLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	for i := range len(label) {
		c := label[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// parseTarget reads the host and port of a request.
func parseTarget(hostText, port string) (target, error) {
	h, err := parseHost(hostText)
	if err != nil {
		return target{}, err
	}
	p, err := parsePort(port)
	if err != nil {
		return target{}, err
	}
	return target{h, p}, nil
}

// allows reports whether a rule names the target.
func (r Rules) allows(t target) bool {
	if t.addr.IsValid() {
		return r.namesAddr(t.addr, t.port)
	}
	for _, n := range r.names {
		if n.port == t.port && (n.name == t.name && !n.wildcard || n.wildcard && strings.HasSuffix(t.name, "."+n.name)) {
			return true
		}
	}
	return false
}

// namesAddr reports whether a rule names the address itself, or its network. The
// network of a metadata service is not enough: that one is asked for by its address.
func (r Rules) namesAddr(addr netip.Addr, port uint16) bool {
	for _, n := range r.nets {
		if n.port == port && n.prefix.Contains(addr) && (n.prefix.IsSingleIP() || !metadata.Is(addr)) {
			return true
		}
	}
	return false
}

// loopback reports whether a rule names a loopback address or localhost.
func (r Rules) loopback() bool {
	for _, n := range r.names {
		if n.name == localhost {
			return true
		}
	}
	for _, n := range r.nets {
		if n.prefix.Addr().IsLoopback() {
			return true
		}
	}
	return false
}
