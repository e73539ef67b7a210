package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// baselines are the policies by what they do about the baseline, which is never
// more than their mode.
func baselines(all []set) []set {
	parts := map[v1alpha1.Mode]*set{}
	for _, s := range all {
		for _, p := range s.policies {
			mode := s.mode
			switch {
			case p.Spec.Baseline == v1alpha1.BaselineOff:
				continue
			case p.Spec.Baseline == v1alpha1.BaselineWarn && mode == v1alpha1.Enforce:
				mode = v1alpha1.Warn
			}
			if parts[mode] == nil {
				parts[mode] = &set{mode: mode, trusted: s.trusted, static: s.static}
			}
			parts[mode].policies = append(parts[mode].policies, p)
		}
	}
	var out []set
	for _, mode := range []v1alpha1.Mode{v1alpha1.Enforce, v1alpha1.Warn, v1alpha1.Audit} {
		if part := parts[mode]; part != nil {
			slices.SortFunc(part.policies, func(a, b *v1alpha1.IsolationPolicy) int { return cmp.Compare(a.Name, b.Name) })
			out = append(out, *part)
		}
	}
	return out
}

// shared reports whether a policy for pods of the set can do for the baseline too:
// what is known of a pod is then worked out once for both.
func (s *set) shared(parts []set) bool {
	return slices.ContainsFunc(parts, func(part set) bool {
		return part.mode == s.mode && slices.Equal(part.policies, s.policies)
	})
}

// baseline is the policy that holds LLM workloads to the baseline, where the one
// for their boundary does something else. concerned: with the condition that leaves
// out pods that cannot be one.
func (s *set) baseline(c *rules.Catalogue, concerned bool) (*admissionv1.ValidatingAdmissionPolicy, error) {
	var v variables
	v.evidence(s, c, concerned)
	v.inForce(s)
	validations, err := s.controls(c, &v)
	if err != nil {
		return nil, err
	}
	p := s.validating("bulkhead-baseline")
	p.Spec.Validations = validations
	p.Spec.MatchConstraints = s.scope(podRules())
	p.Spec.MatchConditions = append(append(s.within(), s.exempt()...), changedCondition())
	if concerned {
		p.Spec.MatchConditions = append(p.Spec.MatchConditions, concern(s.llm(c))...)
	}
	p.Spec.Variables = v
	return p, nil
}

// controls are the five controls, Pod Security restricted and no token, with what
// they need added to v. They come first: only where one is missing is it asked
// whether the pod is an LLM workload at all.
func (s *set) controls(c *rules.Catalogue, v *variables) ([]admissionv1.Validation, error) {
	v.add("llm", s.strictest(s, classOf)+" > 0")
	var out []admissionv1.Validation
	add := func(control v1alpha1.Control, broken, message string) {
		name := camel(string(control))
		v.add(name, broken)
		expr := fmt.Sprintf("!variables.%s || !variables.llm", name)
		if waived, ok := s.waived(control); ok {
			expr += " || (" + waived + ")"
		}
		out = append(out, forbidden(expr, message))
	}
	for _, control := range v1alpha1.Controls() {
		switch control {
		case v1alpha1.Restricted:
			var says []string
			for _, r := range restrictions() {
				says = append(says, fmt.Sprintf("(%s ? [%s] : [])", breaks([]restriction{r}), quote(r.what)))
			}
			v.add("broken", strings.Join(says, " + "))
			add(control, breaks(restrictions()), "!variables.restricted ? '' : 'an LLM workload keeps to Pod Security restricted, and this pod has ' + variables.broken.join(', ')")
		case v1alpha1.NoTokens:
			add(control, s.tokens(), "'an LLM workload mounts no ServiceAccount token that its policy does not allow: set automountServiceAccountToken: false on the ServiceAccount or the pod'")
		default:
			r, ok := c.Rule(string(control))
			if !ok {
				return nil, fmt.Errorf("the rules have no %s: the baseline cannot be rendered", control)
			}
			add(control, r.Expression(), quote("an LLM workload lacks "+r.Control+": "+r.Fix+" (bulkhead harden writes it)"))
		}
	}
	return out, nil
}

// legacyToken is how the token Secrets are named that a control plane once made
// for each ServiceAccount. Their type cannot be seen from a pod.
const legacyToken = `-token-[a-z0-9]{5}$`

// tokens is true for a pod that has a ServiceAccount token which is not allowed.
// The projection that the API server adds is among its volumes by then.
func (s *set) tokens() string {
	var each []string
	for i, p := range s.policies {
		t := p.Spec.Tokens
		source := fmt.Sprintf("(has(s.serviceAccountToken) && !(s.serviceAccountToken.?audience.orValue('') in %s))", quoted(t.Audiences))
		named := func(at string) string { return fmt.Sprintf("%s.orValue('').matches(r'%s')", at, legacyToken) }
		expr := fmt.Sprintf("object.spec.?volumes.orValue([]).exists(v, v.?projected.?sources.orValue([]).exists(s, %s || %s) || %s)", source, named("s.?secret.?name"), named("v.?secret.?secretName")) +
			fmt.Sprintf(" || variables.containers.exists(c, c.?env.orValue([]).exists(e, %s) || c.?envFrom.orValue([]).exists(e, %s))", named("e.?valueFrom.?secretKeyRef.?name"), named("e.?secretRef.?name"))
		if len(t.ServiceAccounts) > 0 {
			expr = fmt.Sprintf("!(request.namespace + '/' + object.spec.?serviceAccountName.orValue('default') in %s) && (%s)", quoted(t.ServiceAccounts), expr)
		}
		if len(s.policies) > 1 {
			expr = fmt.Sprintf("%d in %s && (%s)", i, policiesVar, expr)
		}
		each = append(each, expr)
	}
	return anyOf(slices.Compact(each))
}
