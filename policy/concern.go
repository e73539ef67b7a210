package policy

import (
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// Most pods are no LLM workloads. What leaves them alone is a condition of the
// policies and not a part of what they ask: the API server evaluates conditions
// once, what is asked once more for its message, and it rewrites and admits anew
// what a mutation was about, even where that changes nothing. A condition sees
// neither variables nor the namespace, so the floor of a namespace is a selector,
// and policies for namespaces with one have no such condition.

// llm is a condition that is true on every pod whose class can be above none: it
// declares one, or a rule may fire on it.
func (s *set) llm(c *rules.Catalogue) string {
	terms := []string{fmt.Sprintf("%q in object.metadata.?labels.orValue({})", risk.ClassLabel)}
	if s.looks() {
		terms = append(terms, rules.Suspect(c, evident(c)))
	}
	return anyOf(terms)
}

// concerned is a condition that is true on every pod of which a policy of the set
// can require something, in a namespace without a floor of its own.
func (s *set) concerned(c *rules.Catalogue) []admissionv1.MatchCondition {
	var terms []string
	for _, p := range s.policies {
		if b, _ := boundary.Parse(string(p.Spec.Undeclared.Floor)); b > boundary.SharedKernel { // validated
			terms = append(terms, inScope("request.namespace", p.Spec.Namespaces))
		}
	}
	slices.Sort(terms)
	return concern(anyOf(append(slices.Compact(terms), s.llm(c))))
}

func concern(expression string) []admissionv1.MatchCondition {
	return []admissionv1.MatchCondition{{Name: "may-be-held-to-something", Expression: expression}}
}

// evident are the rules by which a pod has a class.
func evident(c *rules.Catalogue) []*rules.Rule {
	var out []*rules.Rule
	for _, class := range risk.Classes()[1:] {
		out = append(out, deciding(c, class)...)
	}
	return out
}

// floored limits what a policy is about to namespaces that have a floor, or to
// those that have none.
func floored(m *admissionv1.MatchResources, has bool) *admissionv1.MatchResources {
	operator := metav1.LabelSelectorOpDoesNotExist
	if has {
		operator = metav1.LabelSelectorOpExists
	}
	m.NamespaceSelector.MatchExpressions = append(m.NamespaceSelector.MatchExpressions, metav1.LabelSelectorRequirement{Key: FloorLabel, Operator: operator})
	return m
}

// ofFloor adds to a name that a policy is for namespaces with a floor.
func ofFloor(name string, has bool) string {
	if has {
		return name + "-floor"
	}
	return name
}
