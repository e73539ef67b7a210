package decide

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulkhead-dev/bulkhead/internal/metadata"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// egress is what the input's NetworkPolicies say about one pod's way out,
// judged by their content.
type egress struct {
	policies []indexed[networkingv1.NetworkPolicy] // those that limit its egress
	// wide is the first rule that allows everywhere.
	wide     *manifest.Object
	widePath manifest.Path
	wideTo   string // what it allows, in words
	// metadata is the first rule that reaches the cloud's metadata service.
	metadata     *manifest.Object
	metadataPath manifest.Path
	metadataBy   string
	// named: some rule lets something out to a peer that has a name.
	named          bool
	dnsUDP, dnsTCP bool
	// blocks are the IPv4 ranges of all rules, and addresses how many they hold.
	blocks    map[netip.Prefix]bool
	addresses uint64
}

// manyAddresses is more than all private addresses together: ranges that hold
// more reach into the Internet at large, however they are cut.
const manyAddresses = 1 << 25

// broad reports whether nothing limits where the pod's packets go.
func (e egress) broad() bool { return len(e.policies) == 0 || e.wide != nil }

// forgotDNS reports whether peers are named that cannot be looked up.
func (e egress) forgotDNS() bool {
	return len(e.policies) > 0 && e.wide == nil && e.named && (!e.dnsUDP || !e.dnsTCP)
}

func (ix *index) egress(namespace string, podLabels map[string]any) egress {
	set := labels.Set{}
	for k, v := range podLabels {
		set[k] = fmt.Sprint(v)
	}
	var e egress
	for _, p := range ix.policies {
		if namespaceOf(p.from.Namespace) != namespaceOf(namespace) || !limitsEgress(p.obj.Spec) {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(&p.obj.Spec.PodSelector)
		if err != nil || !selector.Matches(set) {
			continue
		}
		e.policies = append(e.policies, p)
		for i, rule := range p.obj.Spec.Egress {
			e.rule(p.from, i, rule)
		}
	}
	return e
}

// limitsEgress follows the API's default: without policyTypes, a policy is
// about egress where it has egress rules.
func limitsEgress(s networkingv1.NetworkPolicySpec) bool {
	for _, t := range s.PolicyTypes {
		if t == networkingv1.PolicyTypeEgress {
			return true
		}
	}
	return len(s.PolicyTypes) == 0 && len(s.Egress) > 0
}

func (e *egress) rule(from *manifest.Object, i int, rule networkingv1.NetworkPolicyEgressRule) {
	at := manifest.Path{"spec", "egress", i}
	udp, tcp, only := dns(rule.Ports)
	if len(rule.Ports) > 0 || dnsPeers(rule.To) {
		e.dnsUDP, e.dnsTCP = e.dnsUDP || udp, e.dnsTCP || tcp
	}
	if only {
		return // DNS to anywhere is how DNS is mostly allowed
	}
	if len(rule.To) == 0 {
		e.everywhere(from, at, "a rule without peers")
	}
	http := reachesPort(rule.Ports, metadataPort)
	if len(rule.To) == 0 && http {
		e.reachesMetadata(from, at, "a rule without peers")
	}
	for j, peer := range rule.To {
		if peer.IPBlock == nil {
			e.named = true
			continue
		}
		e.block(from, at.Join("to", j, "ipBlock", "cidr"), peer.IPBlock, http)
	}
}

func (e *egress) block(from *manifest.Object, at manifest.Path, block *networkingv1.IPBlock, http bool) {
	prefix, err := netip.ParsePrefix(block.CIDR)
	if err != nil {
		return // the API server refuses it
	}
	prefix = prefix.Masked()
	if prefix.Addr().Is4() && !e.blocks[prefix] {
		if e.blocks == nil {
			e.blocks = map[netip.Prefix]bool{}
		}
		e.blocks[prefix] = true
		e.addresses += 1 << (32 - prefix.Bits())
	}
	switch {
	case prefix.Bits() < 8:
		e.everywhere(from, at, block.CIDR)
	case e.addresses > manyAddresses:
		e.everywhere(from, at, block.CIDR+" beside other large ranges")
	}
	if !http {
		return
	}
	for _, addr := range metadata.Addresses() {
		if prefix.Contains(addr) && !slices.ContainsFunc(block.Except, func(x string) bool {
			except, err := netip.ParsePrefix(x)
			return err == nil && except.Contains(addr)
		}) {
			e.reachesMetadata(from, at, fmt.Sprintf("%s includes %s", block.CIDR, addr))
		}
	}
}

const metadataPort = 80

func (e *egress) reachesMetadata(from *manifest.Object, at manifest.Path, by string) {
	if e.metadata == nil {
		e.metadata, e.metadataPath, e.metadataBy = from, at, by
	}
}

// reachesPort reports whether the ports allow a numbered TCP port. A named one
// is that of a pod, which no address outside has.
func reachesPort(ports []networkingv1.NetworkPolicyPort, want int32) bool {
	return len(ports) == 0 || slices.ContainsFunc(ports, func(p networkingv1.NetworkPolicyPort) bool {
		switch {
		case p.Protocol != nil && *p.Protocol != corev1.ProtocolTCP:
			return false
		case p.Port == nil:
			return true
		case p.Port.Type == intstr.String:
			return false
		case p.EndPort != nil:
			return p.Port.IntVal <= want && want <= *p.EndPort
		}
		return p.Port.IntVal == want
	})
}

func (e *egress) everywhere(from *manifest.Object, at manifest.Path, to string) {
	if e.wide == nil {
		e.wide, e.widePath, e.wideTo = from, at, to
	}
}

// dns reports which forms of DNS the ports allow, and whether they allow
// nothing else. No ports are all ports.
func dns(ports []networkingv1.NetworkPolicyPort) (udp, tcp, only bool) {
	if len(ports) == 0 {
		return true, true, false
	}
	only = true
	for _, p := range ports {
		if p.Port != nil && p.Port.Type == intstr.String {
			// The names of the ports of CoreDNS; under the other protocol they match nothing.
			isUDP := p.Protocol != nil && *p.Protocol == corev1.ProtocolUDP
			udp, tcp = udp || isUDP && p.Port.StrVal == "dns", tcp || !isUDP && p.Port.StrVal == "dns-tcp"
			only = only && strings.HasPrefix(p.Port.StrVal, "dns")
			continue
		}
		if !isDNSPort(p) {
			only = false
			continue
		}
		if p.EndPort != nil && *p.EndPort > 53 {
			only = false
		}
		if p.Protocol != nil && *p.Protocol == corev1.ProtocolUDP {
			udp = true
		} else {
			tcp = true
		}
	}
	return udp, tcp, only
}

func isDNSPort(p networkingv1.NetworkPolicyPort) bool {
	if p.Port == nil {
		return true
	}
	low := p.Port.IntVal
	if p.EndPort != nil {
		return low <= 53 && 53 <= *p.EndPort
	}
	return low == 53
}

// dnsPeers reports whether peers that are allowed all ports can be the
// cluster's DNS.
func dnsPeers(peers []networkingv1.NetworkPolicyPeer) bool {
	if len(peers) == 0 {
		return true
	}
	for _, p := range peers {
		if p.NamespaceSelector == nil {
			continue
		}
		sel, err := metav1.LabelSelectorAsSelector(p.NamespaceSelector)
		if err == nil && sel.Matches(labels.Set{"kubernetes.io/metadata.name": "kube-system"}) {
			return true
		}
	}
	return false
}
