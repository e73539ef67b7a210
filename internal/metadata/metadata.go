// Package metadata knows where clouds hand out the identity and credentials of a
// node: what no workload may reach by chance. Pure.
package metadata

import (
	"net/netip"
	"slices"
	"strings"
)

// Addresses are those of the metadata services.
func Addresses() []netip.Addr {
	out := []netip.Addr{}
	for _, text := range []string{
		"169.254.169.254", // almost all clouds
		"169.254.170.2",   // AWS: tasks
		"169.254.170.23",  // AWS: pods
		"100.100.100.200", // Alibaba Cloud
		"168.63.129.16",   // Azure: the host's agent
		"fd00:ec2::254",   // AWS
		"fd00:ec2::23",    // AWS: pods
		"fd20:ce::254",    // Google Cloud
	} {
		out = append(out, netip.MustParseAddr(text))
	}
	return out
}

// Is reports whether an address is that of a metadata service.
func Is(addr netip.Addr) bool {
	return slices.Contains(Addresses(), addr.Unmap().WithZone(""))
}

// IsHost reports whether a host of a URL, a name or an address, is a metadata
// service.
func IsHost(host string) bool {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if host == "metadata.google.internal" || host == "metadata.goog" || host == "instance-data.ec2.internal" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && Is(addr)
}
