package harden

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/risk"
)

// Confining returns the IsolationPolicies among objects, and what is wrong with
// those that cannot be read.
func Confining(objects []*manifest.Object) (out []*v1alpha1.IsolationPolicy, wrong []*manifest.Error) {
	for _, o := range objects {
		if o.Kind != v1alpha1.IsolationPolicyKind || o.APIVersion != v1alpha1.APIVersion {
			continue
		}
		p, errs := v1alpha1.Read(o.Whole().Value)
		if len(errs) == 0 {
			out = append(out, p)
			continue
		}
		pos, _ := o.Position(nil)
		wrong = append(wrong, &manifest.Error{File: o.File, Line: pos.Line, Column: pos.Column, Reason: "it is no valid IsolationPolicy: " + errs.ToAggregate().Error(), Hint: "docs/policy.md explains each field"})
	}
	return out, wrong
}

// confined finds the peers that IsolationPolicies do not open for the class of the
// workload, and returns the lines of a comment that say how they are opened there:
// where one limits the egress of a pod, no other NetworkPolicy adds to it.
func (b *builder) confined(e policy.Egress, confining []*v1alpha1.IsolationPolicy) []string {
	row := b.decision.Row
	peers, unsaid := reached(e)
	if row.RiskClass == risk.None || len(peers)+len(unsaid) == 0 {
		return nil
	}
	for _, p := range confining {
		allowed, limited := policy.Reach(p, cmp.Or(row.Namespace, corev1.NamespaceDefault), row.RiskClass)
		if !limited {
			continue
		}
		missing := slices.DeleteFunc(slices.Clone(peers), func(peer v1alpha1.Peer) bool { return slices.Contains(allowed, peer) })
		if len(missing) > 0 {
			b.find(fmt.Sprintf("IsolationPolicy %s does not let class %s reach %s, which NetworkPolicy %s names", p.Name, row.RiskClass, peerNames(missing), e.Name),
				"where it calls them, add to spec.egress of the IsolationPolicy:", strings.Join(egressLines(class(row.RiskClass, p), missing), "\n"))
		}
		if len(unsaid) > 0 {
			b.find(fmt.Sprintf("IsolationPolicy %s lets class %s reach pods of namespaces by numbered ports, and so not %s", p.Name, row.RiskClass, strings.Join(unsaid, ", ")), "let it call pods that pass it on, and name those as peers", "")
		}
	}
	lines := []string{"", fmt.Sprintf("Where an IsolationPolicy limits the egress of class %s, its peers count and not these.", row.RiskClass)}
	if len(peers) > 0 {
		lines = append(lines, "If it calls them, add to spec.egress of the IsolationPolicy:")
		for _, line := range egressLines(class(row.RiskClass, nil), peers) {
			lines = append(lines, "    "+line)
		}
	}
	if len(unsaid) > 0 {
		lines = append(lines, "It has pods of namespaces and numbered ports, and so not "+strings.Join(unsaid, ", ")+".")
	}
	return lines
}

// class is what a class is called in a policy, which says what unknown stands for.
func class(c risk.Class, p *v1alpha1.IsolationPolicy) string {
	switch {
	case c != risk.Unknown:
		return c.String()
	case p != nil:
		return p.Spec.Unknown
	}
	return "CLASS"
}

// reached are the peers as an IsolationPolicy names them, and the names of those
// that it cannot name.
func reached(e policy.Egress) (peers []v1alpha1.Peer, unsaid []string) {
	for _, p := range e.Peers {
		for _, to := range p.To {
			for _, port := range p.Ports {
				peer := v1alpha1.Peer{Namespace: cmp.Or(to.Namespace, e.Namespace, noNamespace), Port: port.Port.IntVal, Protocol: string(cmp.Or(port.Protocol, corev1.ProtocolTCP))}
				switch {
				case to.Block.IsValid():
					unsaid = append(unsaid, fmt.Sprintf("%s port %s", to.Block, port.Port.String()))
				case port.Port.Type == intstr.String:
					unsaid = append(unsaid, fmt.Sprintf("%s port %s", peer.Namespace, port.Port.StrVal))
				case !slices.Contains(peers, peer):
					peers = append(peers, peer)
				}
			}
		}
	}
	return peers, unsaid
}

// noNamespace is for a person to replace: the manifest does not say its namespace.
const noNamespace = "NAMESPACE"

// egressLines are those of an entry of spec.egress.
func egressLines(class string, peers []v1alpha1.Peer) []string {
	lines := []string{"- riskClasses: [" + class + "]", "  peers:"}
	for _, p := range peers {
		protocol := ""
		if p.Protocol != string(corev1.ProtocolTCP) {
			protocol = ", protocol: " + p.Protocol
		}
		lines = append(lines, fmt.Sprintf("  - {namespace: %s, port: %d%s}", p.Namespace, p.Port, protocol))
	}
	return lines
}

func peerNames(peers []v1alpha1.Peer) string {
	var out []string
	for _, p := range peers {
		out = append(out, fmt.Sprintf("%s port %d", p.Namespace, p.Port))
	}
	return strings.Join(out, ", ")
}
