package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// FloorLabel, on a namespace, is the weakest boundary that its pods may have.
const FloorLabel = "bulkhead.dev/minimum-boundary"

// variables are the spec.variables of a policy, in their order. The API server
// evaluates each at most once a request, and only where it is used.
type variables []admissionv1.Variable

func (v *variables) add(name, expression string) {
	*v = append(*v, admissionv1.Variable{Name: name, Expression: expression})
}

// evidence adds the class that declaration and rules give: variables.class, a
// number as in risk.Class. What a pod declares comes first, then the rules from
// the highest class down, so that nothing is looked for that would change
// nothing. concerned: the policy's condition has left out pods on which no rule
// can fire.
func (v *variables) evidence(s *set, c *rules.Catalogue, concerned bool) {
	for _, shared := range c.Variables {
		v.add(shared.Name, shared.Expression)
	}
	classes := risk.Classes()
	var names []string
	for i, class := range classes {
		names = append(names, fmt.Sprintf("%q: %d", class, i))
	}
	v.add("declared", fmt.Sprintf("{%s}[?object.metadata.?labels[?%q].orValue('')].orValue(0)", strings.Join(names, ", "), risk.ClassLabel))
	if !s.looks() {
		v.add("class", "variables.declared")
		return
	}
	class := "0"
	for i := 1; i < len(classes); i++ { // from the lowest, which stands innermost
		var parts []string
		for k, expr := range rules.Any(deciding(c, classes[i])) {
			name := fmt.Sprintf("%s%d", camel(classes[i].String()), k+1)
			v.add(name, expr)
			parts = append(parts, "variables."+name)
		}
		class = fmt.Sprintf("variables.declared >= %d || %s ? %d : %s", i, strings.Join(parts, " || "), i, class)
	}
	class = fmt.Sprintf("variables.oversized ? %d : %s", risk.CodeExecution, class)
	if !concerned {
		v.add("suspect", rules.Suspect(c, evident(c)))
		class = "!variables.suspect ? variables.declared : " + class
	}
	v.add("class", fmt.Sprintf("variables.declared == %d ? %[1]d : %s", risk.CodeExecution, class))
}

// looks reports whether some policy goes by evidence.
func (s *set) looks() bool {
	for _, p := range s.policies {
		if p.Spec.Undeclared.Mode == v1alpha1.Evidence {
			return true
		}
	}
	return false
}

func deciding(c *rules.Catalogue, class risk.Class) []*rules.Rule {
	var out []*rules.Rule
	for i := range c.Rules {
		if r := &c.Rules[i]; r.Scope == rules.ScopePod && r.Decides() && r.Class == class {
			out = append(out, r)
		}
	}
	return out
}

// camel makes an identifier of a name with hyphens.
func camel(s string) string {
	parts := strings.Split(s, "-")
	for i := range parts[1:] {
		parts[i+1] = strings.ToUpper(parts[i+1][:1]) + parts[i+1][1:]
	}
	return strings.Join(parts, "")
}

// requirement adds variables.provided and variables.required, numbers as in
// boundary.Boundary. timed: the moment of creation is known, and what has an end
// is held to it; it is not while mutating.
func (v *variables) requirement(s *set, timed bool) {
	v.provided(s)
	v.inForce(s)
	v.add("required", s.required(s, timed))
}

// runtimeClassName is what a pod names.
const runtimeClassName = "object.spec.?runtimeClassName"

// provided adds what the pod's RuntimeClass gives.
func (v *variables) provided(s *set) { v.add("provided", s.provides(runtimeClassName+".orValue('')")) }

// provides is an expression for what a RuntimeClass gives. One that no policy
// trusts shares the node's kernel, whatever it is called.
func (s *set) provides(name string) string {
	var gives []string
	for _, c := range s.trusted {
		b, _ := boundary.Runtime(c.Runtime).Boundary()
		if b > boundary.SharedKernel {
			gives = append(gives, fmt.Sprintf("%q: %d", c.Name, b))
		}
	}
	if len(gives) == 0 {
		return "1"
	}
	return fmt.Sprintf("{%s}[?%s].orValue(1)", strings.Join(gives, ", "), name)
}

// inForce adds variables.policies, the positions of the policies that hold for
// the namespace, where there are several.
func (v *variables) inForce(s *set) {
	if len(s.policies) < 2 {
		return
	}
	var in []string
	for i, p := range s.policies {
		in = append(in, fmt.Sprintf("(%s ? [%d] : [])", inScope("request.namespace", p.Spec.Namespaces), i))
	}
	v.add("policies", strings.Join(in, " + "))
}

// required is what the strictest of the set's policies asks of a pod. all are
// those that variables.policies counts.
func (s *set) required(all *set, timed bool) string {
	levels := []string{
		s.strictest(all, func(p *v1alpha1.IsolationPolicy) string { return s.routed(p, timed) + "[" + classOf(p) + "]" }),
		fmt.Sprintf("(%s > 0 && object.metadata.?labels[?%q].orValue('') == 'true' ? %d : 1)", classVar, risk.TenantDataLabel, boundary.UserKernel),
		s.strictest(all, floor),
		fmt.Sprintf("namespaceObject.metadata.?labels[?%q].optMap(b, {%s}[?b].orValue(%d)).orValue(1)", FloorLabel, boundaryNumbers(), boundary.VirtualMachine),
	}
	return list(levels) + ".max()"
}

func boundaryNumbers() string {
	var out []string
	for _, b := range boundary.All() {
		out = append(out, fmt.Sprintf("%q: %d", b, b))
	}
	return strings.Join(out, ", ")
}

// classOf is the class by which a policy judges: one that looks at no evidence
// has the declared one.
func classOf(p *v1alpha1.IsolationPolicy) string {
	if p.Spec.Undeclared.Mode == v1alpha1.FloorOnly {
		return "variables.declared"
	}
	return classVar
}

// strictest is the highest of a number over the policies that hold for the
// namespace.
func (s *set) strictest(all *set, value func(*v1alpha1.IsolationPolicy) string) string {
	rows := map[string][]string{} // policies that say the same
	var order []string
	for _, p := range s.policies {
		text := value(p)
		if _, ok := rows[text]; !ok {
			order = append(order, text)
		}
		rows[text] = append(rows[text], fmt.Sprint(slices.Index(all.policies, p)))
	}
	if len(order) == 1 && len(s.policies) == len(all.policies) {
		return order[0]
	}
	var terms []string
	for _, text := range order {
		terms = append(terms, fmt.Sprintf("(%s.exists(p, p in %s) ? %s : 1)", policiesVar, list(rows[text]), text))
	}
	return list(terms) + ".max()"
}

// routed is the list of what a policy requires of each class.
func (s *set) routed(p *v1alpha1.IsolationPolicy, timed bool) string {
	var out []string
	for _, class := range risk.Classes() {
		r := s.route(p, class)
		switch {
		case r.waiver == nil:
			out = append(out, fmt.Sprint(int(r.required)))
		case timed:
			out = append(out, fmt.Sprintf("(%s ? %d : %d)", before(*r.waiver), r.waived, r.required))
		default:
			out = append(out, fmt.Sprint(int(r.waived)))
		}
	}
	return list(out)
}

// before is true for a pod that is created before the end of an exception. An
// update has no time of its own, so nothing that ends holds for it.
func before(r v1alpha1.Responsibility) string {
	until, _ := r.Until() // validated
	return fmt.Sprintf("request.operation == 'CREATE' && timestamp(object.metadata.creationTimestamp) < timestamp(%q)", until.Format(time.RFC3339))
}

// floor is the weakest boundary that a policy lets any pod have.
func floor(p *v1alpha1.IsolationPolicy) string {
	b, _ := boundary.Parse(string(p.Spec.Undeclared.Floor)) // validated
	exempt := p.Spec.Undeclared.Exempt
	var free []string
	if len(exempt.Namespaces) > 0 {
		free = append(free, namespaceIn("request.namespace", exempt.Namespaces))
	}
	if len(exempt.Images) > 0 {
		names := make([]string, len(exempt.Images))
		for i, image := range exempt.Images {
			names[i] = string(image)
		}
		free = append(free, fmt.Sprintf("variables.containers.all(c, c.?image.orValue('').matches(%s))", quote(rules.ImagePattern(names))))
	}
	if b == boundary.SharedKernel || len(free) == 0 {
		return fmt.Sprint(int(b))
	}
	return fmt.Sprintf("(%s ? 1 : %d)", anyOf(free), b)
}
