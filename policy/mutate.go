package policy

import (
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// assign is the policy that gives a pod without a RuntimeClass the one of its
// route. A pod that names one is never changed: it would keep the overhead and
// the node selector of what it named. The API server stamps those of the class
// that is set here, and then holds the pod to its boundary like any other. Where
// egress is limited, it also sets the label that this goes by.
func (s *set) assign(c *rules.Catalogue, floor bool) *admissionv1.MutatingAdmissionPolicy {
	var v variables
	v.evidence(s, c, !floor)
	v.requirement(s, false)
	v.choice(s)
	confined := v.confined(s)
	untouched := []string{"variables.choice == ''"}
	for _, p := range s.policies {
		for _, w := range p.Spec.Waivers {
			if w.Allows.Boundary != "" { // it says what it wants, and is held to that
				untouched = append(untouched, covers(w))
			}
		}
	}
	needs := "!has(object.spec.runtimeClassName)"
	patch := fmt.Sprintf("(has(object.spec.runtimeClassName) || %s ? [] : [JSONPatch{op: 'add', path: '/spec/runtimeClassName', value: variables.choice}])", anyOf(untouched))
	if confined {
		needs += fmt.Sprintf(" || !(%q in object.metadata.?labels.orValue({}))", EnforcedLabel)
		patch += " + " + markPatch()
	}
	conditions := append(append(s.within(), s.exempt()...), admissionv1.MatchCondition{Name: "lacks-something", Expression: needs})
	if !floor {
		conditions = append(conditions, s.concerned(c)...)
	}
	return &admissionv1.MutatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "MutatingAdmissionPolicy"},
		ObjectMeta: s.meta(ofFloor("bulkhead-assign", floor) + "-" + strings.ToLower(string(s.mode))),
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			FailurePolicy: new(admissionv1.Fail),
			// Another mutation may bring in a container after this one.
			ReinvocationPolicy: admissionv1.IfNeededReinvocationPolicy,
			MatchConstraints:   floored(s.scope(createdPods()), floor),
			MatchConditions:    conditions,
			Variables:          v,
			Mutations: []admissionv1.Mutation{{
				PatchType: admissionv1.PatchTypeJSONPatch,
				JSONPatch: &admissionv1.JSONPatch{Expression: patch},
			}},
		},
	}
}

func (s *set) assignBinding(p *admissionv1.MutatingAdmissionPolicy) *admissionv1.MutatingAdmissionPolicyBinding {
	return &admissionv1.MutatingAdmissionPolicyBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "MutatingAdmissionPolicyBinding"},
		ObjectMeta: s.meta(p.Name),
		Spec:       admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: p.Name},
	}
}
