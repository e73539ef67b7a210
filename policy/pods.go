package policy

import (
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// pods is the policy that holds every pod to its boundary, whatever made it, in
// namespaces that have a floor or in those that have none; and to the baseline, if
// that is asked for.
func (s *set) pods(c *rules.Catalogue, floor, baseline bool) (*admissionv1.ValidatingAdmissionPolicy, error) {
	var v variables
	v.evidence(s, c, !floor)
	v.requirement(s, true)
	v.choice(s)
	excepted := v.accepts(s)
	confined := v.confined(s)
	p := s.validating(ofFloor("bulkhead-pods", floor))
	p.Spec.MatchConstraints = floored(s.scope(podRules()), floor)
	p.Spec.MatchConditions = append(append(s.within(), s.exempt()...), changedCondition())
	if !floor {
		p.Spec.MatchConditions = append(p.Spec.MatchConditions, s.concerned(c)...)
	}
	p.Spec.Validations = []admissionv1.Validation{s.labelValidation(), s.boundaryValidation(excepted)}
	if confined {
		p.Spec.Validations = append(p.Spec.Validations, s.egressValidations()...)
	}
	if baseline {
		controls, err := s.controls(c, &v)
		if err != nil {
			return nil, err
		}
		p.Spec.Validations = append(p.Spec.Validations, controls...)
	}
	p.Spec.Variables = v
	return p, nil
}

// labelValidation: what a pod declares is a class.
func (s *set) labelValidation() admissionv1.Validation {
	return forbidden(fmt.Sprintf("object.metadata.?labels[?%q].orValue('none') in %s", risk.ClassLabel, quoted(classNames())),
		fmt.Sprintf("'label %s is ' + object.metadata.?labels[?%q].orValue('') + ': it is one of %s'", risk.ClassLabel, risk.ClassLabel, strings.Join(classNames(), ", ")))
}

// egressValidations: a pod has the label by which the egress of its class is
// limited. There is one for each class, so that no message asks for the evidence:
// the API server evaluates the messages for pods that it admits too, and the
// variables anew for them.
func (s *set) egressValidations() []admissionv1.Validation {
	var out []admissionv1.Validation
	for i, class := range risk.Classes() {
		if !slices.ContainsFunc(s.policies, func(p *v1alpha1.IsolationPolicy) bool { return confines(p, class) }) {
			continue
		}
		label := fmt.Sprintf("object.metadata.?labels[?%q]", EnforcedLabel)
		out = append(out, forbidden(fmt.Sprintf("%s != %d || !variables.confined || %s.orValue('') == %q", classVar, i, label, class),
			fmt.Sprintf("'the egress of class %[1]s is limited by label %[2]s, which is set when a pod is created and stays: it has to be %[1]s, and is ' + %[3]s.orValue('missing') + '; leave it out of the manifest, and make a new pod where an image changes the class'", class, EnforcedLabel, label)))
	}
	return out
}

// boundaryValidation: the pod's boundary is enough. One that has the strongest
// needs no evidence, where nothing is denied for what it is; nor does its message.
func (s *set) boundaryValidation(excepted bool) admissionv1.Validation {
	expr := "variables.provided >= variables.required"
	if !slices.ContainsFunc(s.policies, func(p *v1alpha1.IsolationPolicy) bool { return p.Spec.Unknown == v1alpha1.Deny }) {
		expr = fmt.Sprintf("variables.provided == %d || %s", boundary.VirtualMachine, expr)
	}
	if excepted {
		expr += " || variables.accepted"
	}
	names := []string{""}
	for _, b := range boundary.All() {
		names = append(names, b.String())
	}
	message := fmt.Sprintf(`variables.provided == %[1]d || variables.required > %[1]d
? 'this is an LLM workload, and nothing shows of which class: label its pods %[2]s, or run bulkhead check on its manifest'
: 'class ' + %[3]s[variables.class] + ' needs ' + %[4]s[variables.required] + ', and '
+ object.spec.?runtimeClassName.optMap(n, 'RuntimeClass ' + n).orValue('a pod without a RuntimeClass') + ' gives ' + %[4]s[variables.provided]
+ (variables.choice == '' ? ': no RuntimeClass of the policy gives that' : ': set spec.runtimeClassName to ' + variables.choice)
+ ' (bulkhead check says which fields show the class)' + %[5]s`, boundary.VirtualMachine, risk.ClassLabel, quoted(classNames()), quoted(names), s.remarks())
	return forbidden(expr, strings.ReplaceAll(message, "\n", " "))
}

func classNames() []string {
	var out []string
	for _, class := range risk.Classes() {
		out = append(out, class.String())
	}
	return out
}

// choice adds variables.choice: the RuntimeClass that the strictest policy gives
// a pod without one, or "".
func (v *variables) choice(s *set) {
	table := func(p *v1alpha1.IsolationPolicy) string {
		var rows []string
		for _, class := range risk.Classes() {
			r := s.route(p, class)
			row := []string{`""`}
			for _, b := range boundary.All() {
				row = append(row, quote(r.choices[b]))
			}
			rows = append(rows, list(append(row, `""`))) // the last is for what is denied
		}
		return list(rows) + "[" + classOf(p) + "][variables.required]"
	}
	if len(s.policies) == 1 {
		v.add("choice", table(s.policies[0]))
		return
	}
	// The first policy whose choice is strong enough for all of them: each
	// choice is made for the highest requirement.
	expr := `""`
	for i := len(s.policies) - 1; i >= 0; i-- {
		expr = fmt.Sprintf("%d in %s && %s != '' ? %s : %s", i, policiesVar, table(s.policies[i]), table(s.policies[i]), expr)
	}
	v.add("choice", expr)
}

// validating is a policy of the set, without what it is about.
func (s *set) validating(name string) *admissionv1.ValidatingAdmissionPolicy {
	return &admissionv1.ValidatingAdmissionPolicy{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicy"},
		ObjectMeta: s.meta(name + "-" + strings.ToLower(string(s.mode))),
		Spec:       admissionv1.ValidatingAdmissionPolicySpec{FailurePolicy: new(admissionv1.Fail)},
	}
}

// binding puts a policy into force.
func (s *set) binding(p *admissionv1.ValidatingAdmissionPolicy, actions ...admissionv1.ValidationAction) *admissionv1.ValidatingAdmissionPolicyBinding {
	return &admissionv1.ValidatingAdmissionPolicyBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: admissionv1.SchemeGroupVersion.String(), Kind: "ValidatingAdmissionPolicyBinding"},
		ObjectMeta: s.meta(p.Name),
		Spec:       admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: p.Name, ValidationActions: actions},
	}
}

// actions are what the mode does about what a policy does not allow.
func (s *set) actions() []admissionv1.ValidationAction {
	switch s.mode {
	case v1alpha1.Enforce:
		return []admissionv1.ValidationAction{admissionv1.Deny, admissionv1.Audit}
	case v1alpha1.Warn:
		return []admissionv1.ValidationAction{admissionv1.Warn, admissionv1.Audit}
	}
	return []admissionv1.ValidationAction{admissionv1.Audit}
}

func (s *set) meta(name string) metav1.ObjectMeta {
	var names []string
	for _, p := range s.policies {
		names = append(names, p.Name)
	}
	return metav1.ObjectMeta{
		Name:        name,
		Labels:      managed(nil),
		Annotations: map[string]string{"bulkhead.dev/policies": strings.Join(names, ",")},
	}
}
