package policy

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/risk"
)

// confines reports whether a policy of the set limits egress. Who is only warned
// is not cut off.
func (s *set) confines() bool {
	return s.mode == v1alpha1.Enforce && slices.ContainsFunc(s.policies, func(p *v1alpha1.IsolationPolicy) bool { return len(p.Spec.Egress) > 0 })
}

// egressPrefix is that of the names of rendered NetworkPolicies.
const egressPrefix = "bulkhead-egress-"

// egressGuard: NetworkPolicies add up, so one that selects pods whose egress is
// limited opens nothing that the policy does not. The rendered ones are an
// administrator's, and go with their namespace.
func (s *set) egressGuard() *admissionv1.ValidatingAdmissionPolicy {
	var v variables
	v.inForce(s)
	v.add("selects", fmt.Sprintf("%s.filter(c, object.spec.?podSelector.?matchLabels[?%[2]q].orValue(c) == c && object.spec.?podSelector.?matchExpressions.orValue([]).all(e,"+
		" e.key != %[2]q || (e.operator == 'In' ? c in e.values : e.operator == 'NotIn' ? !(c in e.values) : e.operator == 'Exists')))", quoted(classNames()), EnforcedLabel))
	v.add("egress", "object.spec.?egress.orValue([])")
	v.add("narrow", fmt.Sprintf("variables.egress.all(r, r.?to.orValue([]).size() > 0 && r.?ports.orValue([]).size() > 0 && r.ports.all(p, has(p.port) && type(p.port) == int && !has(p.endPort))"+
		" && r.to.all(t, has(t.ipBlock) || !has(t.namespaceSelector) || t.namespaceSelector.?matchLabels[?%q].hasValue()))", NamespaceLabel))
	var within []string
	for i, p := range s.policies {
		for _, g := range peerGroups(p) {
			term := fmt.Sprintf("!variables.selects.exists(c, c in %s) || (variables.narrow && variables.egress.all(r, r.to.all(t, r.ports.all(p, %s in %s))))", quoted(g.classes), destination(), quoted(g.peers))
			if len(s.policies) > 1 {
				term = fmt.Sprintf("!(%d in %s) || %s", i, policiesVar, term)
			}
			within = append(within, term)
		}
	}
	p := s.guard("bulkhead-guard-egress")
	p.Spec.MatchConstraints = s.scope([]admissionv1.NamedRuleWithOperations{
		rule("networking.k8s.io", "v1", []string{"networkpolicies"}, admissionv1.Create, admissionv1.Update, admissionv1.Delete),
	})
	own := fmt.Sprintf("oldObject.metadata.name.startsWith('%s')", egressPrefix)
	p.Spec.MatchConditions = append(s.within(), admissionv1.MatchCondition{Name: "changes-what-counts",
		Expression: fmt.Sprintf("request.operation == 'CREATE' || request.operation == 'DELETE' && %[1]s || request.operation == 'UPDATE' && object.spec != oldObject.spec", own)})
	p.Spec.Variables = v
	p.Spec.Validations = []admissionv1.Validation{
		forbidden(fmt.Sprintf("request.operation == 'CREATE' || !%s || %s || request.operation == 'DELETE' && namespaceObject.metadata.?deletionTimestamp.hasValue()", own, mayAdminister()),
			fmt.Sprintf("'this NetworkPolicy limits the egress of LLM workloads: to change it takes the verb %s on isolationpolicies.%s'", AdministerVerb, v1alpha1.Group)),
		forbidden("request.operation == 'DELETE' || "+allOf(within), fmt.Sprintf(
			"'it selects pods of class ' + variables.selects.join(', ') + ', and opens egress that their IsolationPolicy does not: leave them out by podSelector.matchExpressions {key: %s, operator: DoesNotExist}, or name only namespaces (by %s) and ports of the policy'", EnforcedLabel, NamespaceLabel)),
	}
	return p
}

// destination is an expression for where the peer t and the port p of a rule
// lead, as peerGroups writes it.
func destination() string {
	return fmt.Sprintf("(has(t.ipBlock) ? t.ipBlock.cidr : !has(t.namespaceSelector) ? request.namespace"+
		" : t.namespaceSelector.matchLabels[%q] + (t.?podSelector.?matchLabels[?'k8s-app'].orValue('') == 'kube-dns' ? '/kube-dns' : '')) + ' ' + string(p.port) + ' ' + p.?protocol.orValue('TCP')", NamespaceLabel)
}

// peerGroup is classes that may reach the same peers.
type peerGroup struct {
	classes, peers []string
}

// peerGroups are the confined classes of a policy, those with the same peers
// together, in the order of the classes.
func peerGroups(p *v1alpha1.IsolationPolicy) []peerGroup {
	var out []peerGroup
	for _, class := range risk.Classes() {
		if !confines(p, class) {
			continue
		}
		var reach []string
		for _, protocol := range []string{"UDP", "TCP"} {
			reach = append(reach, "kube-system/kube-dns 53 "+protocol, "169.254.20.10/32 53 "+protocol)
		}
		for _, peer := range peers(p, class) {
			to := fmt.Sprintf("%d %s", peer.Port, peer.Protocol)
			reach = append(reach, peer.Namespace+" "+to, peer.Namespace+"/kube-dns "+to)
		}
		slices.Sort(reach)
		reach = slices.Compact(reach)
		i := slices.IndexFunc(out, func(g peerGroup) bool { return strings.Join(g.peers, ",") == strings.Join(reach, ",") })
		if i < 0 {
			out = append(out, peerGroup{peers: reach})
			i = len(out) - 1
		}
		out[i].classes = append(out[i].classes, class.String())
	}
	return out
}
