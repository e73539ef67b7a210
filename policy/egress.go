package policy

import (
	"errors"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/bulkhead-dev/bulkhead/internal/metadata"
)

// Egress is what some pods of one namespace may reach. What is no peer is denied.
type Egress struct {
	Name, Namespace string
	// Pods are labels of the pods. None is an error: a policy for every pod is
	// said by EveryPod.
	Pods     map[string]string
	EveryPod bool
	// Unconfined leaves out pods whose egress an IsolationPolicy limits: those have
	// its peers, and no NetworkPolicy of others adds to them.
	Unconfined bool
	Peers      []Peer
	// Labels are of the NetworkPolicy itself.
	Labels map[string]string
}

// Peer is where packets may go, by the address that they have when they arrive:
// pods and ports of pods, not Services, because a policy is applied after a
// Service's address is translated.
type Peer struct {
	To    []Destination
	Ports []Port
	// Said are lines of a comment: where the peer comes from.
	Said []string
}

// Destination is pods with labels, in the namespace of the policy or in the one
// that is named, or a block of addresses.
type Destination struct {
	Namespace string // "" for that of the policy
	Pods      map[string]string
	EveryPod  bool // of the namespace that is named
	Block     netip.Prefix
}

// Port is one port of the destination, a number or the name that its pods give it.
type Port struct {
	Protocol corev1.Protocol // "" is TCP
	Port     intstr.IntOrString
}

// NamespaceLabel is the label of every namespace that has its name.
const NamespaceLabel = corev1.LabelMetadataName

// ManagedByLabel says what made an object, and ManagedBy is its value here.
const (
	ManagedByLabel = "app.kubernetes.io/managed-by"
	ManagedBy      = "bulkhead"
)

// DNS is the cluster's DNS over both protocols: its pods, and the address at
// which a cache on the node listens.
func DNS() Peer {
	dns := intstr.FromInt32(53)
	return Peer{
		To: []Destination{
			{Namespace: metav1.NamespaceSystem, Pods: map[string]string{"k8s-app": "kube-dns"}},
			{Block: netip.PrefixFrom(netip.AddrFrom4([4]byte{169, 254, 20, 10}), 32)},
		},
		Ports: []Port{{corev1.ProtocolUDP, dns}, {corev1.ProtocolTCP, dns}},
		Said:  []string{"DNS: the cluster's, and a cache on the node where there is one"},
	}
}

// leastBits is how long the prefix of a block is at least, of IPv4 and of IPv6: a
// shorter one is no peer but a part of the Internet.
func leastBits(a netip.Addr) int {
	if a.Is4() {
		return 8
	}
	return 32 // what a registry gives to one provider
}

// NetworkPolicy renders a policy that denies all egress but that to the peers. A
// peer that would open more than pods or addresses that are named, on ports that
// are named, is an error, and so is one that reaches a cloud's metadata service.
func NetworkPolicy(e Egress) (*networkingv1.NetworkPolicy, error) {
	if len(e.Pods) == 0 && !e.EveryPod {
		return nil, errors.New("the policy selects no pods by their labels")
	}
	p := &networkingv1.NetworkPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: networkingv1.SchemeGroupVersion.String(), Kind: "NetworkPolicy"},
		ObjectMeta: metav1.ObjectMeta{Name: e.Name, Namespace: e.Namespace, Labels: managed(e.Labels)},
		Spec: networkingv1.NetworkPolicySpec{
			PodSelector: metav1.LabelSelector{MatchLabels: e.Pods},
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		},
	}
	if e.Unconfined {
		p.Spec.PodSelector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: EnforcedLabel, Operator: metav1.LabelSelectorOpDoesNotExist}}
	}
	for _, peer := range e.Peers {
		rule, err := peer.rule()
		if err != nil {
			return nil, err
		}
		p.Spec.Egress = append(p.Spec.Egress, rule)
	}
	return p, nil
}

// Validate reports why a peer would open more than what is named; nil where it does
// not.
func (p Peer) Validate() error {
	_, err := p.rule()
	return err
}

// rule renders a peer.
func (p Peer) rule() (networkingv1.NetworkPolicyEgressRule, error) {
	var rule networkingv1.NetworkPolicyEgressRule
	if len(p.To) == 0 || len(p.Ports) == 0 {
		return rule, errors.New("a peer without destinations or without ports is everywhere or everything")
	}
	for _, d := range p.To {
		to, err := d.peer()
		if err != nil {
			return rule, err
		}
		rule.To = append(rule.To, to)
	}
	for _, port := range p.Ports {
		if err := port.check(); err != nil {
			return rule, err
		}
		protocol := port.Protocol
		if protocol == "" {
			protocol = corev1.ProtocolTCP
		}
		rule.Ports = append(rule.Ports, networkingv1.NetworkPolicyPort{Protocol: &protocol, Port: &port.Port})
	}
	return rule, nil
}

func (p Port) check() error {
	problems := validation.IsValidPortNum(int(p.Port.IntVal))
	if p.Port.Type == intstr.String {
		problems = validation.IsValidPortName(p.Port.StrVal)
	}
	if len(problems) > 0 {
		return fmt.Errorf("port %s: %s", p.Port.String(), problems[0])
	}
	return nil
}

func (d Destination) peer() (networkingv1.NetworkPolicyPeer, error) {
	var to networkingv1.NetworkPolicyPeer
	switch {
	case d.Block.IsValid() && (len(d.Pods) > 0 || d.Namespace != ""):
		return to, errors.New("a peer is pods or a block of addresses, not both")
	case d.Block.IsValid():
		if err := checkBlock(d.Block); err != nil {
			return to, err
		}
		to.IPBlock = &networkingv1.IPBlock{CIDR: d.Block.Masked().String()}
		return to, nil
	case d.EveryPod && d.Namespace != "" && len(d.Pods) == 0:
	case len(d.Pods) == 0:
		return to, errors.New("a peer has neither labels of pods nor a block of addresses")
	}
	if len(d.Pods) > 0 {
		to.PodSelector = &metav1.LabelSelector{MatchLabels: d.Pods}
	}
	if d.Namespace != "" {
		to.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{NamespaceLabel: d.Namespace}}
	}
	return to, nil
}

func checkBlock(b netip.Prefix) error {
	if least := leastBits(b.Addr()); b.Bits() < least {
		return fmt.Errorf("%s is no peer: it is shorter than /%d", b, least)
	}
	for _, a := range metadata.Addresses() {
		if b.Contains(a) {
			return fmt.Errorf("%s includes %s, where clouds hand out the node's credentials", b, a)
		}
	}
	return nil
}

func managed(labels map[string]string) map[string]string {
	out := map[string]string{ManagedByLabel: ManagedBy}
	for k, v := range labels {
		out[k] = v
	}
	return out
}

// YAML renders the policy with a comment on each peer. header stands above it,
// and asked at its end: what it does not allow.
func (e Egress) YAML(header, asked []string) ([]byte, error) {
	p, err := NetworkPolicy(e)
	if err != nil {
		return nil, err
	}
	comments := Comments{"": header, "spec.podSelector.matchExpressions.0": {"pods whose egress an IsolationPolicy limits have its peers"}}
	for i, peer := range e.Peers {
		comments[fmt.Sprintf("spec.egress.%d", i)] = peer.Said
	}
	text, err := Document(p, comments)
	for _, line := range asked {
		text = append(text, comment(line)+"\n"...)
	}
	return text, err
}
