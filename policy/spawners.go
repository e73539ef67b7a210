package policy

import (
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// spawners is a policy that says of an LLM workload with a token that it may make
// pods: a warning, a count and an entry in the audit log. Nothing is denied for it,
// since what it makes is judged as every pod is. A check of rights costs 350,000 of
// the 1,000,000 that an expression may, so there is one in each; pods without a
// token are left alone before anything else is looked at.
func (s *set) spawners(c *rules.Catalogue) *admissionv1.ValidatingAdmissionPolicy {
	const token = "object.spec.?volumes.orValue([]).exists(v, v.?projected.?sources.orValue([]).exists(s, has(s.serviceAccountToken)))"
	const account = "object.spec.?serviceAccountName.orValue('default')"
	p := s.validating("bulkhead-spawners")
	p.Spec.MatchConstraints = s.scope([]admissionv1.NamedRuleWithOperations{rule("", "v1", []string{"pods"}, admissionv1.Create)})
	p.Spec.MatchConditions = append(append(s.within(), s.exempt()...),
		admissionv1.MatchCondition{Name: "llm-workload-with-a-token", Expression: token + " && (" + s.llm(c) + ")"})
	for _, made := range []struct{ group, resource string }{{"", "pods"}, {"apps", "deployments"}, {"batch", "jobs"}} {
		p.Spec.Validations = append(p.Spec.Validations, forbidden(
			fmt.Sprintf("!authorizer.serviceAccount(request.namespace, %s).group(%q).resource(%q).namespace(request.namespace).check('create').allowed()", account, made.group, made.resource),
			fmt.Sprintf("'ServiceAccount ' + %s + ' of this LLM workload may create %s in its namespace: take that from its Role if it does not use it (bulkhead check --cluster says where it comes from)'", account, made.resource)))
	}
	return p
}

// notice are the actions of a policy that denies nothing.
func (s *set) notice() []admissionv1.ValidationAction {
	if s.mode == v1alpha1.Audit {
		return []admissionv1.ValidationAction{admissionv1.Audit}
	}
	return []admissionv1.ValidationAction{admissionv1.Warn, admissionv1.Audit}
}
