package policy

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/risk"
)

func rule(group, version string, resources []string, operations ...admissionv1.OperationType) admissionv1.NamedRuleWithOperations {
	return admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: operations,
		Rule:       admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{version}, Resources: resources},
	}}
}

// podRules are all requests that can bring a container into a pod.
func podRules() []admissionv1.NamedRuleWithOperations {
	return []admissionv1.NamedRuleWithOperations{
		rule("", "v1", []string{"pods"}, admissionv1.Create, admissionv1.Update),
		rule("", "v1", []string{"pods/ephemeralcontainers"}, admissionv1.Update),
	}
}

// createdPods are the requests that make a pod.
func createdPods() []admissionv1.NamedRuleWithOperations {
	return []admissionv1.NamedRuleWithOperations{rule("", "v1", []string{"pods"}, admissionv1.Create)}
}

// scope limits resources to the namespaces of the set as far as a selector can:
// by exact names. The API server sets the label that is selected by, and keeps
// it.
func (s *set) scope(resources []admissionv1.NamedRuleWithOperations) *admissionv1.MatchResources {
	selector := &metav1.LabelSelector{}
	operator, names := metav1.LabelSelectorOpNotIn, s.excluded()
	if s.named() {
		operator, names = metav1.LabelSelectorOpIn, s.included()
	}
	selector.MatchExpressions = []metav1.LabelSelectorRequirement{{Key: NamespaceLabel, Operator: operator, Values: names}}
	return &admissionv1.MatchResources{NamespaceSelector: selector, ResourceRules: resources}
}

// named reports whether every policy of the set names its namespaces.
func (s *set) named() bool {
	for _, p := range s.policies {
		if len(p.Spec.Namespaces.Include) == 0 || slices.ContainsFunc(p.Spec.Namespaces.Include, glob) {
			return false
		}
	}
	return true
}

func glob(p v1alpha1.NamespacePattern) bool { return !p.Exact() }

// included are the namespaces of policies that name them.
func (s *set) included() []string {
	var out []string
	for _, p := range s.policies {
		for _, n := range p.Spec.Namespaces.Include {
			if p.Spec.Namespaces.Contain(string(n)) {
				out = append(out, string(n))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// excluded are names that no policy of the set holds for.
func (s *set) excluded() []string {
	out := []string{v1alpha1.SystemNamespace}
	for _, p := range s.policies {
		for _, n := range p.Spec.Namespaces.Exclude {
			if n.Exact() && !slices.ContainsFunc(s.policies, func(o *v1alpha1.IsolationPolicy) bool { return o.Spec.Namespaces.Contain(string(n)) }) {
				out = append(out, string(n))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// within is the condition that the namespace is in scope, where the selector
// does not say it: it says what one policy means that names what it leaves out.
func (s *set) within() []admissionv1.MatchCondition {
	if s.named() || slices.ContainsFunc(s.policies, s.selected) {
		return nil
	}
	var terms []string
	for _, p := range s.policies {
		terms = append(terms, inScope("request.namespace", p.Spec.Namespaces))
	}
	return []admissionv1.MatchCondition{{Name: "in-scope", Expression: anyOf(slices.Compact(terms))}}
}

// selected reports whether a policy holds for all namespaces but those that the
// selector of the set leaves out.
func (s *set) selected(p *v1alpha1.IsolationPolicy) bool {
	return len(p.Spec.Namespaces.Include) == 0 && !slices.ContainsFunc(p.Spec.Namespaces.Exclude, func(n v1alpha1.NamespacePattern) bool {
		return glob(n) || !slices.Contains(s.excluded(), string(n))
	})
}

// mirrorCondition leaves out the mirror of a static pod: the pod runs already,
// and denying or changing its mirror would only hide it. Only a node can make
// one, for itself; anybody else's forged one is a pod like others.
func mirrorCondition() admissionv1.MatchCondition {
	return admissionv1.MatchCondition{
		Name:       "not-a-mirror",
		Expression: `!("kubernetes.io/config.mirror" in object.metadata.?annotations.orValue({}) && "system:nodes" in request.userInfo.groups)`,
	}
}

// changedCondition leaves out updates that change nothing that counts: a pod
// that was admitted under another policy can still shed finalizers and labels.
// What it gains or changes is judged as a whole.
// Of the fields that the rules look at, the API server lets an update change
// images and ephemeral containers, and nothing else.
func changedCondition() admissionv1.MatchCondition {
	images := func(object, field string) string {
		return object + ".spec.?" + field + ".orValue([]).map(c, c.image)"
	}
	changes := []string{"request.operation == 'CREATE'", "request.?subResource.orValue('') == 'ephemeralcontainers'"}
	for _, field := range []string{"containers", "initContainers"} {
		changes = append(changes, images("object", field)+" != "+images("oldObject", field))
	}
	for _, label := range []string{risk.ClassLabel, risk.TenantDataLabel} {
		at := ".metadata.?labels[?" + quote(label) + "]"
		changes = append(changes, fmt.Sprintf("object%[1]s.hasValue() && object%[1]s != oldObject%[1]s", at)) // taking it away asks for nothing more
	}
	at := ".metadata.?labels[?" + quote(EnforcedLabel) + "]"
	changes = append(changes, fmt.Sprintf("object%[1]s != oldObject%[1]s", at))
	return admissionv1.MatchCondition{Name: "changes-what-counts", Expression: strings.Join(changes, " || ")}
}
