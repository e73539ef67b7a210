package policy

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// AdministerVerb, on isolationpolicies, is the right to change what policies
// rest on: labels of namespaces and nodes, namespaces out of scope, rendered
// NetworkPolicies. The role cluster-admin has it, as it has every verb.
const AdministerVerb = "administer"

// OwnPrefix is that of every label and annotation of Bulkhead's.
const OwnPrefix = "bulkhead.dev/"

// mayAdminister is true where who asks has the right.
func mayAdminister() string {
	return fmt.Sprintf("authorizer.group(%q).resource('isolationpolicies').check(%q).allowed()", v1alpha1.Group, AdministerVerb)
}

// guards are policies for the objects that the policies for pods rest on. They
// do what the strictest mode does.
func guards(all []set) []Object {
	s := &all[0]
	policies := []*admissionv1.ValidatingAdmissionPolicy{s.labelGuard(), s.runtimeClassGuard()}
	if s.confines() {
		policies = append(policies, s.egressGuard())
	}
	var out []Object
	for _, p := range policies {
		if p != nil {
			out = append(out, p, s.binding(p, s.actions()...))
		}
	}
	for _, part := range baselines(all) {
		if part.mode == s.mode {
			p := part.secretGuard()
			out = append(out, p, part.binding(p, part.actions()...))
		}
	}
	return out
}

// guard is a policy that is about other objects than pods: there is one of a
// cluster.
func (s *set) guard(name string) *admissionv1.ValidatingAdmissionPolicy {
	p := s.validating(name)
	p.Name = name
	return p
}

func forbidden(expression, message string) admissionv1.Validation {
	return admissionv1.Validation{Expression: expression, MessageExpression: message, Reason: new(metav1.StatusReasonForbidden)}
}

// labelGuard: labels of Bulkhead's on namespaces and nodes are an administrator's,
// and so are namespaces by names that are out of scope.
func (s *set) labelGuard() *admissionv1.ValidatingAdmissionPolicy {
	p := s.guard("bulkhead-guard-labels")
	p.Spec.MatchConstraints = &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{
		rule("", "v1", []string{"namespaces", "nodes"}, admissionv1.Create, admissionv1.Update),
		rule("", "v1", []string{"namespaces/status", "namespaces/finalize", "nodes/status"}, admissionv1.Update),
	}}
	changed := "(object.metadata.?labels.orValue({}).exists(k, k.startsWith('%[1]s') && (oldObject == null || oldObject.metadata.?labels[?k] != object.metadata.?labels[?k]))" +
		" || oldObject != null && oldObject.metadata.?labels.orValue({}).exists(k, k.startsWith('%[1]s') && !(k in object.metadata.?labels.orValue({}))))"
	out := "request.operation == 'CREATE' && request.resource.resource == 'namespaces' && " + namespaceIn("object.metadata.name", s.outside())
	p.Spec.MatchConditions = []admissionv1.MatchCondition{{Name: "changes-what-counts", Expression: fmt.Sprintf(changed, OwnPrefix) + " || " + out}}
	p.Spec.Validations = []admissionv1.Validation{forbidden(mayAdminister(), fmt.Sprintf(
		"(%s ? 'policies do not hold for a namespace of this name' : 'labels %s* on namespaces and nodes say which boundary is given')"+
			" + ': to set them takes the verb %s on isolationpolicies.%s'", out, OwnPrefix, AdministerVerb, v1alpha1.Group))}
	return p
}

// outside are names of namespaces that a policy leaves out.
func (s *set) outside() []v1alpha1.NamespacePattern {
	out := []v1alpha1.NamespacePattern{v1alpha1.SystemNamespace}
	for _, p := range s.policies {
		out = append(out, p.Spec.Namespaces.Exclude...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// runtimeClassGuard: a trusted name has the handler that policies trust, whoever
// makes it, and is not deleted while a policy trusts it.
func (s *set) runtimeClassGuard() *admissionv1.ValidatingAdmissionPolicy {
	if len(s.trusted) == 0 {
		return nil
	}
	var handlers []string
	for _, c := range s.trusted {
		handlers = append(handlers, fmt.Sprintf("%q: %q", c.Name, c.Handler))
	}
	known := "{" + strings.Join(handlers, ", ") + "}"
	p := s.guard("bulkhead-guard-runtime-classes")
	p.Spec.MatchConstraints = &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{
		rule("node.k8s.io", "v1", []string{"runtimeclasses"}, admissionv1.Create, admissionv1.Update, admissionv1.Delete),
	}}
	name := "(request.operation == 'DELETE' ? oldObject : object).metadata.name"
	p.Spec.MatchConditions = []admissionv1.MatchCondition{{Name: "trusted", Expression: name + " in " + known}}
	p.Spec.Validations = []admissionv1.Validation{
		forbidden("request.operation != 'DELETE'", "'an IsolationPolicy trusts RuntimeClass ' + oldObject.metadata.name + ': take it out of the policy first'"),
		forbidden(fmt.Sprintf("request.operation == 'DELETE' || object.handler == %s[object.metadata.name]", known),
			fmt.Sprintf("'an IsolationPolicy trusts RuntimeClass ' + object.metadata.name + ' to have handler ' + %s[object.metadata.name] + ', and this one has ' + object.handler", known)),
	}
	return p
}

// secretGuard: a token Secret has a name by which a pod that mounts it is known.
func (s *set) secretGuard() *admissionv1.ValidatingAdmissionPolicy {
	p := s.guard("bulkhead-guard-token-secrets")
	p.Spec.MatchConstraints = s.scope([]admissionv1.NamedRuleWithOperations{rule("", "v1", []string{"secrets"}, admissionv1.Create)})
	p.Spec.MatchConditions = append(s.within(), admissionv1.MatchCondition{Name: "token", Expression: "object.?type.orValue('') == 'kubernetes.io/service-account-token'"})
	p.Spec.Validations = []admissionv1.Validation{forbidden(fmt.Sprintf("object.metadata.name.matches(r'%s')", legacyToken),
		"'the token of a ServiceAccount that does not expire is in Secrets named NAME-token-abcde (five letters or digits), so that a pod that mounts it is known by the name; a projected token is better'")}
	return p
}
