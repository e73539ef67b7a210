// Package admission answers for the API server: what rendered admission policies
// make of an object that is created or changed. It evaluates their own expressions, in the
// order and the CEL environment of the API server, without a cluster.
package admission

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// Server holds what policies were rendered to. It is safe for concurrent use.
type Server struct {
	mutating, validating []*compiled
	// tokenless are the ServiceAccounts, as namespace/name, that mount no token.
	tokenless map[string]bool
}

// compiled is a policy that is about what is judged, with its binding.
type compiled struct {
	name                         string
	constraints                  admissionv1.MatchResources
	conditions, checks, messages []cel.Program // a message that has no expression is nil
	texts                        []string      // of checks, where there is no message
	actions                      []admissionv1.ValidationAction
	expressions                  *expressions
	// parameter is the kind that the policy goes by; "" for none.
	parameter string
}

// New compiles what policy.Render returned. Objects that are no admission
// policies about pods, what makes them or NetworkPolicies are passed over.
func New(objects []policy.Object) (*Server, error) {
	s := &Server{tokenless: map[string]bool{}}
	actions := map[string][]admissionv1.ValidationAction{}
	for _, o := range objects {
		switch o := o.(type) {
		case *admissionv1.ValidatingAdmissionPolicyBinding:
			actions[o.Spec.PolicyName] = append(actions[o.Spec.PolicyName], o.Spec.ValidationActions...)
		case *corev1.ServiceAccount:
			if o.AutomountServiceAccountToken != nil && !*o.AutomountServiceAccountToken {
				s.tokenless[o.Namespace+"/"+o.Name] = true
			}
		}
	}
	for _, o := range objects {
		var c *compiled
		var err error
		switch o := o.(type) {
		case *admissionv1.ValidatingAdmissionPolicy:
			if !judges(o.Spec.MatchConstraints) || asksForRights(o) {
				continue
			}
			c, err = newValidating(o)
			s.validating = append(s.validating, c)
		case *admissionv1.MutatingAdmissionPolicy:
			c, err = newMutating(o)
			s.mutating = append(s.mutating, c)
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("policy %s: %w", o.GetName(), err)
		}
		c.actions = actions[c.name]
	}
	return s, nil
}

// asksForRights: what a ServiceAccount may do is not known here. What goes by that
// only warns.
func asksForRights(p *admissionv1.ValidatingAdmissionPolicy) bool {
	return slices.ContainsFunc(p.Spec.MatchConditions, func(m admissionv1.MatchCondition) bool {
		return strings.Contains(m.Expression, "authorizer.serviceAccount(")
	})
}

func newValidating(p *admissionv1.ValidatingAdmissionPolicy) (*compiled, error) {
	c := &compiled{name: p.Name, constraints: *p.Spec.MatchConstraints}
	if p.Spec.ParamKind != nil {
		c.parameter = p.Spec.ParamKind.Kind
		return c, nil // nothing of it can be evaluated
	}
	if err := c.prepare(p.Spec.Variables, p.Spec.MatchConditions); err != nil {
		return nil, err
	}
	for i, v := range p.Spec.Validations {
		if err := c.check(v.Expression); err != nil {
			return nil, fmt.Errorf("validation %d: %w", i, err)
		}
		var message cel.Program
		if v.MessageExpression != "" {
			var err error
			if _, message, err = c.expressions.compile(v.MessageExpression); err != nil {
				return nil, fmt.Errorf("message of validation %d: %w", i, err)
			}
		}
		c.messages = append(c.messages, message)
		c.texts = append(c.texts, v.Message)
	}
	return c, nil
}

func newMutating(p *admissionv1.MutatingAdmissionPolicy) (*compiled, error) {
	c := &compiled{name: p.Name, constraints: *p.Spec.MatchConstraints}
	if err := c.prepare(p.Spec.Variables, p.Spec.MatchConditions); err != nil {
		return nil, err
	}
	for i, m := range p.Spec.Mutations {
		if m.JSONPatch == nil {
			return nil, fmt.Errorf("mutation %d is no JSON patch", i)
		}
		if err := c.check(m.JSONPatch.Expression); err != nil {
			return nil, fmt.Errorf("mutation %d: %w", i, err)
		}
	}
	return c, nil
}

func (c *compiled) prepare(vars []admissionv1.Variable, conditions []admissionv1.MatchCondition) (err error) {
	if c.expressions, err = newExpressions(vars); err != nil {
		return err
	}
	for _, m := range conditions {
		_, prg, err := c.expressions.compile(m.Expression)
		if err != nil {
			return fmt.Errorf("condition %s: %w", m.Name, err)
		}
		c.conditions = append(c.conditions, prg)
	}
	return nil
}

func (c *compiled) check(expr string) error {
	_, prg, err := c.expressions.compile(expr)
	c.checks = append(c.checks, prg)
	return err
}
