package policy

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/risk"
)

// EnforcedLabel, on a pod, is the class by which its egress is limited. It is
// set when the pod is created and stays: what a pod declares proves nothing, and
// a NetworkPolicy can only select by labels.
const EnforcedLabel = "bulkhead.dev/enforced-class"

// confines reports whether a policy limits the egress of a class. The class
// unknown is limited like the one that it stands for.
func confines(p *v1alpha1.IsolationPolicy, class risk.Class) bool {
	return len(entries(p, class)) > 0
}

// entries are the egress of a class.
func entries(p *v1alpha1.IsolationPolicy, class risk.Class) []v1alpha1.Egress {
	name := class.String()
	if class == risk.Unknown {
		name = p.Spec.Unknown
	}
	var out []v1alpha1.Egress
	for _, e := range p.Spec.Egress {
		if slices.Contains(e.RiskClasses, v1alpha1.RiskClass(name)) {
			out = append(out, e)
		}
	}
	return out
}

// confined adds variables.confined, true where the egress of the pod is limited.
// It reports false where no policy of the set limits any.
func (v *variables) confined(s *set) bool {
	if !s.confines() {
		return false
	}
	v.add("confined", s.strictest(s, func(p *v1alpha1.IsolationPolicy) string {
		var row []string
		for _, class := range risk.Classes() {
			if confines(p, class) {
				row = append(row, "2")
			} else {
				row = append(row, "1")
			}
		}
		return list(row) + "[" + classOf(p) + "]"
	})+" > 1")
	return true
}

// enforcedClass is an expression for the value of EnforcedLabel.
func enforcedClass() string { return quoted(classNames()) + "[" + classVar + "]" }

// markPatch is an expression for the patch that sets EnforcedLabel.
func markPatch() string {
	return fmt.Sprintf("(!variables.confined ? [] : has(object.metadata.labels) ? [JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey(%[1]q), value: %[2]s}] : [JSONPatch{op: 'add', path: '/metadata/labels', value: {%[1]q: %[2]s}}])", EnforcedLabel, enforcedClass())
}

// peers are where pods of a class may send packets by one policy, beside DNS.
func peers(p *v1alpha1.IsolationPolicy, class risk.Class) []v1alpha1.Peer {
	var out []v1alpha1.Peer
	for _, e := range entries(p, class) {
		for _, peer := range e.Peers {
			if !slices.Contains(out, peer) {
				out = append(out, peer)
			}
		}
	}
	return out
}

// Reach is where pods of a class may send packets by one policy in a namespace,
// beside DNS. limited is false where it limits none of them.
func Reach(p *v1alpha1.IsolationPolicy, namespace string, class risk.Class) (to []v1alpha1.Peer, limited bool) {
	limited = p.Spec.Mode == v1alpha1.Enforce && p.Spec.Namespaces.Contain(namespace) && confines(p, class)
	return peers(p, class), limited
}

// networkPolicies limit the egress in one namespace: of each class, to what every
// policy that limits it there allows.
func networkPolicies(all []set, namespace string) ([]Object, error) {
	var out []Object
	for _, class := range risk.Classes() {
		var allowed []v1alpha1.Peer
		limited := false
		for _, s := range all {
			for _, p := range s.policies {
				mine, limits := Reach(p, namespace, class)
				if !limits {
					continue
				}
				if limited {
					mine = slices.DeleteFunc(mine, func(peer v1alpha1.Peer) bool { return !slices.Contains(allowed, peer) })
				}
				allowed, limited = mine, true
			}
		}
		if !limited {
			continue
		}
		e := Egress{Name: egressPrefix + class.String(), Namespace: namespace, Pods: map[string]string{EnforcedLabel: class.String()}, Peers: []Peer{DNS()}}
		for _, peer := range allowed {
			e.Peers = append(e.Peers, Peer{
				To:    []Destination{{Namespace: peer.Namespace, EveryPod: true}},
				Ports: []Port{{Protocol: corev1.Protocol(peer.Protocol), Port: intstr.FromInt32(peer.Port)}},
			})
		}
		np, err := NetworkPolicy(e)
		if err != nil {
			return nil, fmt.Errorf("egress of class %s in %s: %w", class, namespace, err)
		}
		out = append(out, np)
	}
	return out, nil
}
