package policy

import (
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// BreakGlassLabel, on a pod, says that it is created under the BreakGlass of
// its namespace. It is a label because the API server looks for parameters before
// it looks at conditions: only a selector keeps other pods out of that.
const BreakGlassLabel = OwnPrefix + "break-glass"

// breakGlass is what a BreakGlass rests on: pods that say so are left to a policy
// of their own, which looks for the object. It stands in the way of no other pod,
// as a policy with parameters would for a while after the API server starts.
func (s *set) breakGlass() []Object {
	open := s.guard("bulkhead-guard-break-glass")
	open.Spec.MatchConstraints = &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{
		rule(v1alpha1.Group, "*", []string{"breakglasses"}, admissionv1.Create),
	}}
	open.Spec.Validations = []admissionv1.Validation{
		forbidden(fmt.Sprintf("authorizer.group(%q).resource('breakglasses').namespace(request.namespace).check(%q).allowed()", v1alpha1.Group, v1alpha1.OpenVerb),
			fmt.Sprintf("'to break the glass takes the verb %s on breakglasses.%s in this namespace'", v1alpha1.OpenVerb, v1alpha1.Group)),
		forbidden(fmt.Sprintf("timestamp(object.spec.expires) <= timestamp(object.metadata.creationTimestamp) + duration('%s')", v1alpha1.MaxBreakGlass),
			fmt.Sprintf("'it lasts longer than %s: make a new one when it has ended'", v1alpha1.MaxBreakGlass)),
	}
	open.Spec.AuditAnnotations = []admissionv1.AuditAnnotation{{Key: "break-glass", ValueExpression: "'until ' + string(object.spec.expires) + ': ' + object.spec.reason"}}

	pods := s.guard("bulkhead-break-glass")
	pods.Spec.ParamKind = &admissionv1.ParamKind{APIVersion: v1alpha1.APIVersion, Kind: v1alpha1.BreakGlassKind}
	pods.Spec.MatchConstraints = &admissionv1.MatchResources{
		ResourceRules:  createdPods(),
		ObjectSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: BreakGlassLabel, Operator: metav1.LabelSelectorOpExists}}},
	}
	pods.Spec.Validations = []admissionv1.Validation{forbidden("timestamp(object.metadata.creationTimestamp) < timestamp(params.spec.expires)",
		"'the BreakGlass of this namespace ended at ' + string(params.spec.expires)")}
	pods.Spec.AuditAnnotations = []admissionv1.AuditAnnotation{{Key: "break-glass", ValueExpression: "'until ' + string(params.spec.expires) + ': ' + params.spec.reason"}}
	binding := s.binding(pods, admissionv1.Deny, admissionv1.Audit)
	binding.Spec.ParamRef = &admissionv1.ParamRef{Name: v1alpha1.BreakGlassName, ParameterNotFoundAction: new(admissionv1.DenyAction)}

	notice := s.guard("bulkhead-break-glass-notice") // what is allowed is counted nowhere, what is warned about is
	notice.Spec.MatchConstraints = pods.Spec.MatchConstraints
	notice.Spec.Validations = []admissionv1.Validation{forbidden("false", "'no isolation policy holds for this pod: it is created under the BreakGlass of namespace ' + request.namespace")}
	return []Object{
		open, s.binding(open, admissionv1.Deny, admissionv1.Audit), pods, binding,
		notice, s.binding(notice, admissionv1.Warn, admissionv1.Audit),
	}
}

// exempt are pods that no policy of the set is about. A BreakGlass counts when a
// pod is created, and not for what changes later.
func (s *set) exempt() []admissionv1.MatchCondition {
	out := []admissionv1.MatchCondition{mirrorCondition()}
	if s.mode == v1alpha1.Enforce && !s.static {
		out = append(out, admissionv1.MatchCondition{Name: "not-break-glass", Expression: fmt.Sprintf("request.operation != 'CREATE' || !(%q in object.metadata.?labels.orValue({}))", BreakGlassLabel)})
	}
	return out
}
