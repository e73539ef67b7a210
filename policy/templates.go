package policy

import (
	"fmt"
	"regexp"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// templates is the policy that says of what makes pods what will become of them,
// when it is written and not when a pod is missing. It adds nothing to what holds
// for the pods: what it does not see is still denied then.
func (s *set) templates(c *rules.Catalogue) *admissionv1.ValidatingAdmissionPolicy {
	var v variables
	v.evidence(s, c, false)
	v.inForce(s)
	v.add("required", s.required(s, true))
	v.choice(s)
	named := runtimeClassName + ".orValue('')"
	if s.mode == v1alpha1.Enforce { // a pod that names none gets this one
		named = runtimeClassName + ".orValue(variables.choice)"
	}
	v.add("provided", s.provides(named))
	excepted := v.accepts(s)
	p := s.validating("bulkhead-templates")
	p.Spec.Variables = v
	p.Spec.Validations = []admissionv1.Validation{s.labelValidation(), s.boundaryValidation(excepted)}
	return s.onTemplates(p)
}

// baselineTemplates is the same for the baseline.
func (s *set) baselineTemplates(c *rules.Catalogue) (*admissionv1.ValidatingAdmissionPolicy, error) {
	p, err := s.baseline(c, false)
	if err != nil {
		return nil, err
	}
	p.ObjectMeta = s.validating("bulkhead-baseline-templates").ObjectMeta
	return s.onTemplates(p), nil
}

// onTemplates makes a policy for pods one for templates of pods. What a
// controller makes for another one is left out: that one was judged.
func (s *set) onTemplates(p *admissionv1.ValidatingAdmissionPolicy) *admissionv1.ValidatingAdmissionPolicy {
	both := []admissionv1.OperationType{admissionv1.Create, admissionv1.Update}
	p.Spec.MatchConstraints = s.scope([]admissionv1.NamedRuleWithOperations{
		rule("apps", "v1", []string{"deployments", "statefulsets", "daemonsets", "replicasets"}, both...),
		rule("batch", "v1", []string{"jobs", "cronjobs"}, both...),
		rule("", "v1", []string{"replicationcontrollers"}, both...),
		rule("agents.x-k8s.io", "*", []string{"sandboxes"}, both...),
		rule("extensions.agents.x-k8s.io", "*", []string{"sandboxtemplates"}, both...),
	})
	p.Spec.MatchConditions = append(s.within(),
		admissionv1.MatchCondition{Name: "made-by-people", Expression: "!object.metadata.?ownerReferences.orValue([]).exists(o, o.?controller.orValue(false))"},
		admissionv1.MatchCondition{Name: "changes-what-counts", Expression: "request.operation == 'CREATE' || " + template("object") + " != " + template("oldObject")})
	if s.mode == v1alpha1.Enforce && !s.static {
		p.Spec.MatchConditions = append(p.Spec.MatchConditions, admissionv1.MatchCondition{Name: "not-break-glass",
			Expression: fmt.Sprintf("!(%s.?metadata.?labels[?%q].hasValue())", template("object"), BreakGlassLabel)})
	}
	variables := []admissionv1.Variable{{Name: "pod", Expression: template("object")}}
	for _, v := range p.Spec.Variables {
		variables = append(variables, admissionv1.Variable{Name: v.Name, Expression: ofTemplate(v.Expression)})
	}
	p.Spec.Variables = variables
	for i := range p.Spec.Validations {
		v := &p.Spec.Validations[i]
		v.Expression = ofTemplate(v.Expression)
		v.MessageExpression = "'its pods: ' + (" + ofTemplate(v.MessageExpression) + ")"
	}
	return p
}

// template is an expression for the template of pods in an object: the places
// where the kinds of onTemplates have it.
func template(object string) string {
	return fmt.Sprintf("(%[1]s.spec.?podTemplate.or(%[1]s.spec.?jobTemplate.?spec.?template).or(%[1]s.spec.?template).orValue({'spec': {}}))", object)
}

// podTerms are what an expression about a pod says of it.
var podTerms = regexp.MustCompile(`request\.operation == 'CREATE' && timestamp\(object\.metadata\.creationTimestamp\) < (timestamp\("[^"]+"\))|\bobject\.metadata\.\?|\bobject\.`)

// ofTemplate makes an expression about a pod one about the template. Whether an
// exception will have ended when a pod is made is only known for those of now.
func ofTemplate(expr string) string {
	return podTerms.ReplaceAllStringFunc(expr, func(term string) string {
		m := podTerms.FindStringSubmatch(term)
		switch {
		case m[1] != "":
			return fmt.Sprintf("(request.operation != 'CREATE' || timestamp(object.metadata.creationTimestamp) < %s)", m[1])
		case term == "object.metadata.?":
			return "variables.pod.?metadata.?" // a template may have none
		}
		return "variables.pod."
	})
}
