package egress

import (
	"net"
	"net/netip"

	"github.com/bulkhead-dev/bulkhead/internal/metadata"
)

// special are networks that no name may lead to, by IANA's registries of
// special-purpose addresses, and why. IPv6 outside 2000::/3 needs no entry.
func special() []struct{ prefix, reason string } {
	return []struct{ prefix, reason string }{
		{"0.0.0.0/8", "this machine"},
		{"10.0.0.0/8", "a private network"},
		{"100.64.0.0/10", "a carrier's shared network"},
		{"127.0.0.0/8", "loopback"},
		{"169.254.0.0/16", "link-local"},
		{"172.16.0.0/12", "a private network"},
		{"192.0.0.0/24", "reserved by IETF protocols"},
		{"192.0.2.0/24", "documentation"},
		{"192.88.99.0/24", "a relay from IPv4 to IPv6"},
		{"192.168.0.0/16", "a private network"},
		{"198.18.0.0/15", "benchmarks"},
		{"198.51.100.0/24", "documentation"},
		{"203.0.113.0/24", "documentation"},
		{"224.0.0.0/4", "multicast"},
		{"240.0.0.0/4", "reserved"},
		{"::1/128", "loopback"},
		{"::ffff:0:0:0/96", "an IPv4 address inside an IPv6 one"},
		{"64:ff9b::/96", "an IPv4 address inside an IPv6 one (NAT64)"},
		{"64:ff9b:1::/48", "an IPv4 address inside an IPv6 one (NAT64)"},
		{"::/96", "an IPv4 address inside an IPv6 one"},
		{"fc00::/7", "a private network"},
		{"fe80::/10", "link-local"},
		{"ff00::/8", "multicast"},
		{"2001::/32", "an IPv4 address inside an IPv6 one (Teredo)"},
		{"2001::/23", "reserved by IETF protocols"},
		{"2001:db8::/32", "documentation"},
		{"2002::/16", "an IPv4 address inside an IPv6 one (6to4)"},
		{"3fff::/20", "documentation"},
	}
}

// notPublic says what kind of address addr is when it is none of the public
// internet; "" when it is.
func notPublic(addr netip.Addr) string {
	addr = addr.Unmap()
	if metadata.Is(addr) {
		return "a cloud's metadata service"
	}
	for _, s := range special() {
		if netip.MustParsePrefix(s.prefix).Contains(addr) {
			return s.reason
		}
	}
	if addr.Is6() {
		b := addr.As16()
		if b[0]&0xe0 != 0x20 {
			return "not of the public internet"
		}
		// ISATAP: ::0:5efe:a.b.c.d and ::200:5efe:a.b.c.d in any network.
		if b[8]&^2 == 0 && b[9] == 0 && b[10] == 0x5e && b[11] == 0xfe {
			return "an IPv4 address inside an IPv6 one (ISATAP)"
		}
	}
	for _, own := range ownAddresses() {
		if own == addr {
			return "this machine"
		}
	}
	return ""
}

// ownAddresses are those of this machine's interfaces. A service that listens
// on all of them counts on who can reach it.
func ownAddresses() []netip.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var own []netip.Addr
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				own = append(own, addr.Unmap())
			}
		}
	}
	return own
}
