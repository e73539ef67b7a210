package policy

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// spawners is a policy that says of an LLM workload with a token that it may make
// pods: a warning, a count and an entry in the audit log. Nothing is denied for it,
// since what it makes is judged as every pod is. Whether it may is asked first, for
// pods with a token: most may not, and are not looked at. A check of rights costs
// 350,000 of the 1,000,000 that an expression may, and the look at most 551,000.
func (s *set) spawners(c *rules.Catalogue) *admissionv1.ValidatingAdmissionPolicy {
	const token = "object.spec.?volumes.orValue([]).exists(v, v.?projected.?sources.orValue([]).exists(s, has(s.serviceAccountToken)))"
	const account = "object.spec.?serviceAccountName.orValue('default')"
	const may = "authorizer.serviceAccount(request.namespace, " + account + ").group('').resource('pods').namespace(request.namespace).check('create').allowed()"
	p := s.validating("bulkhead-spawners")
	p.Spec.MatchConstraints = s.scope(createdPods())
	p.Spec.MatchConditions = append(append(s.within(), s.exempt()...), admissionv1.MatchCondition{Name: "may-create-pods", Expression: token + " && " + may + " && (" + s.llm(c) + ")"})
	p.Spec.Validations = []admissionv1.Validation{forbidden("false",
		"'ServiceAccount ' + "+account+" + ' of this LLM workload may create pods in its namespace: take that from its Role if it does not use it (bulkhead check --cluster says where it comes from)'")}
	return p
}

// notice are the actions of a policy that denies nothing.
func (s *set) notice() []admissionv1.ValidationAction {
	if s.mode == v1alpha1.Audit {
		return []admissionv1.ValidationAction{admissionv1.Audit}
	}
	return []admissionv1.ValidationAction{admissionv1.Warn, admissionv1.Audit}
}
