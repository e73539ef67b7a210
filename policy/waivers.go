package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// covers is true for a pod that a waiver is about, whenever it was made. Every
// container has to be named: one that is not would get what another was allowed.
func covers(w v1alpha1.Waiver) string {
	terms := []string{"request.namespace == " + quote(w.Namespace)}
	for _, key := range slices.Sorted(maps.Keys(w.Selector)) {
		terms = append(terms, fmt.Sprintf("object.metadata.?labels[?%s] == optional.of(%s)", quote(key), quote(w.Selector[key])))
	}
	return strings.Join(append(terms, fmt.Sprintf("variables.containers.all(c, c.name in %s)", quoted(w.Containers))), " && ")
}

// holds is true for a pod for which a waiver is in force.
func holds(w v1alpha1.Waiver) string { return covers(w) + " && " + before(w.Responsibility) }

// accepts adds to v what is true where a boundary is enough for all policies,
// if waivers count: variables.accepted. It reports false where none has any.
func (v *variables) accepts(s *set) bool {
	var each []string
	rest := set{mode: s.mode, trusted: s.trusted}
	for i, p := range s.policies {
		var levels []string
		for _, w := range p.Spec.Waivers {
			if w.Allows.Boundary != "" {
				b, _ := boundary.Parse(string(w.Allows.Boundary)) // validated
				levels = append(levels, fmt.Sprintf("variables.provided >= %d && %s", b, holds(w)))
			}
		}
		if len(levels) == 0 {
			rest.policies = append(rest.policies, p)
			continue
		}
		alone := set{mode: s.mode, trusted: s.trusted, policies: []*v1alpha1.IsolationPolicy{p}}
		enough := "variables.provided >= " + alone.required(s, true) + " || (" + anyOf(levels) + ")"
		if len(s.policies) > 1 {
			enough = fmt.Sprintf("!(%d in %s) || %s", i, policiesVar, enough)
		}
		each = append(each, enough)
	}
	if len(each) == 0 {
		return false
	}
	if len(rest.policies) > 0 {
		each = append(each, "variables.provided >= "+rest.required(s, true))
	}
	v.add("accepted", allOf(each))
	return true
}

// remarks is an expression for what a denial says of waivers that are about the
// pod, and do not hold.
func (s *set) remarks() string {
	var out []string
	for _, p := range s.policies {
		for _, w := range p.Spec.Waivers {
			text := fmt.Sprintf("; the waiver of %s (%s) ended with %s, or was given for another boundary, or this is an update", w.Owner, w.Ticket, w.Expires)
			if w.Ticket == "" {
				text = strings.Replace(text, " ()", "", 1)
			}
			if w.Allows.Boundary != "" {
				out = append(out, fmt.Sprintf("(%s ? %s : '')", covers(w), quote(text)))
			}
		}
	}
	if len(out) == 0 {
		return "''"
	}
	return strings.Join(out, " + ")
}

// waived is true where a waiver takes a control of the baseline from a pod, for
// every policy of the set that holds for it. It reports false where none does.
func (s *set) waived(control v1alpha1.Control) (string, bool) {
	var each []string
	some := false
	for i, p := range s.policies {
		var terms []string
		for _, w := range p.Spec.Waivers {
			if slices.Contains(w.Allows.Controls, control) {
				terms = append(terms, holds(w))
				some = true
			}
		}
		expr := anyOf(terms)
		if len(s.policies) > 1 {
			expr = fmt.Sprintf("!(%d in %s) || (%s)", i, policiesVar, expr)
		}
		each = append(each, expr)
	}
	return allOf(each), some
}

// belowRoute is a policy that says of each pod that an exception lets through
// that it is below the default route: a warning and an entry in the audit log.
// There is none where no policy has such an exception.
func (s *set) belowRoute(c *rules.Catalogue) *admissionv1.ValidatingAdmissionPolicy {
	var excepted []string // who answers for what
	for _, p := range s.policies {
		for _, r := range p.Spec.Routes {
			if r.Waiver != nil {
				excepted = append(excepted, fmt.Sprintf("the route of %s is waived by %s until %s", r.RiskClass, r.Waiver.Owner, r.Waiver.Expires))
			}
		}
		for _, w := range p.Spec.Waivers {
			if w.Allows.Boundary != "" {
				excepted = append(excepted, fmt.Sprintf("%s in %s is waived by %s until %s", w.Allows.Boundary, w.Namespace, w.Owner, w.Expires))
			}
		}
	}
	if len(excepted) == 0 {
		return nil
	}
	var v variables
	v.evidence(s, c, true)
	v.provided(s)
	var least, names []string
	for _, class := range risk.Classes() {
		b := boundary.SharedKernel
		if class >= risk.Inference {
			b = v1alpha1.LeastBoundary(class)
		}
		least = append(least, fmt.Sprint(int(b)))
		names = append(names, class.String())
	}
	p := s.validating("bulkhead-below-route")
	p.Spec.MatchConstraints = s.scope(podRules())
	p.Spec.MatchConditions = append(append(append(s.within(), s.exempt()...), changedCondition()), concern(s.llm(c))...)
	p.Spec.Variables = v
	p.Spec.Validations = []admissionv1.Validation{{
		Expression:        fmt.Sprintf("variables.provided >= %s[%s]", list(least), classVar),
		MessageExpression: fmt.Sprintf("'below the default route: class ' + %s[%s] + ' with less than its risk calls for; ' + %s", quoted(names), classVar, quote(strings.Join(excepted, "; "))),
	}}
	return p
}
