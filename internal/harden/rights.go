package harden

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// RightsRule is the rule of findings about rights that go beyond what the input
// shows in use.
const RightsRule = "exact-rights"

// Rights returns, for each workload that has more rights than the input shows it to
// use, a Role with those and its binding. They add nothing to what the account may
// do, and count alone once the old binding is gone, which a person has to say: no
// right is taken away.
func Rights(out decide.Outcome, all bool) ([]PolicySet, error) {
	return sets(out, all, (*builder).rights)
}

// excess is what one binding gives beyond what is shown in use.
type excess struct {
	binding *manifest.Object
	own     bool
	// what is beyond, in words, and the lines of a Role that would give it back.
	what, lines []string
}

func (b *builder) rights() error {
	a, ok := b.network.Account(b.decision)
	name := objectName(b.decision.Row.Name, "-exact")
	if !ok || !a.Mounted {
		return nil
	}
	c := cutter{
		namespace: b.network.Namespace(b.decision), place: b.place,
		secrets: b.network.Settings(b.decision, "Secret"), configMaps: b.network.Settings(b.decision, "ConfigMap"),
	}
	var beyond []*excess
	var kept []cut
	grants := b.network.Grants(b.decision, a.Name)
	for i := 0; i < len(grants); {
		end := i
		for end < len(grants) && grants[end].Binding == grants[i].Binding {
			end++
		}
		if r := grants[i].Role; r.Kind != "Role" || r.Name != name {
			over, exact := c.binding(grants[i:end])
			if len(over.what) > 0 {
				beyond, kept = append(beyond, over), append(kept, exact...)
			}
		}
		i = end
	}
	shared := b.network.Shared(b.decision, a.Name)
	has := b.network.HasRole(b.decision.Row.Namespace, name)
	if len(kept) > 0 && len(beyond) > 0 && !shared && !has {
		if err := b.role(name, a.Name, beyond, kept); err != nil {
			return err
		}
		has = true
	}
	for _, over := range beyond {
		b.excess(over, a.Name, name, has, shared)
	}
	return nil
}

// role adds the files of a Role and its binding.
func (b *builder) role(name, account string, beyond []*excess, kept []cut) error {
	row := b.decision.Row
	var all []rbacv1.PolicyRule
	comments := policy.Comments{"": {fmt.Sprintf("What %s %s may do, as far as the input shows that it needs it. It counts alone", row.Kind, row.Name)}}
	var from []string
	for _, over := range beyond {
		from = append(from, fmt.Sprintf("%s %s", over.binding.Kind, over.binding.Name))
	}
	comments[""] = append(comments[""], fmt.Sprintf("once ServiceAccount %s is no longer in %s.", account, strings.Join(from, " and ")))
	for _, k := range kept {
		if slices.ContainsFunc(all, func(r rbacv1.PolicyRule) bool { return fmt.Sprint(r) == fmt.Sprint(k.rule) }) {
			continue
		}
		comments[fmt.Sprintf("rules.%d", len(all))] = []string{k.said}
		all = append(all, k.rule)
	}
	role, err := policy.Role(name, row.Namespace, labels(row.Name), all)
	if err != nil {
		return err
	}
	text, err := policy.Document(role, comments)
	if err != nil {
		return err
	}
	b.file(name+"-role", text, RightsRule, "Role "+name)
	text, err = policy.Document(policy.RoleBinding(name, row.Namespace, labels(row.Name), account), nil)
	if err != nil {
		return err
	}
	b.file(name+"-rolebinding", text, RightsRule, "RoleBinding "+name)
	return nil
}

// excess finds what a binding gives beyond what is shown in use, and says how a
// person sees what is used.
func (b *builder) excess(over *excess, account, role string, has, shared bool) {
	ns := b.network.Namespace(b.decision)
	user := fmt.Sprintf("system:serviceaccount:%s:%s", ns, account)
	see := fmt.Sprintf("`kubectl auth can-i --list --as=%s -n %s` shows what it may do, the audit log (user.username %s) what it does", user, ns, user)
	away := fmt.Sprintf("take it out of %s %s", over.binding.Kind, over.binding.Name)
	if !over.own {
		away = fmt.Sprintf("name accounts in %s %s and not a group", over.binding.Kind, over.binding.Name)
	}
	var fix string
	switch {
	case shared:
		fix = fmt.Sprintf("%s; other workloads have the account too: give each its own, then a Role of what it uses", see)
	case has:
		fix = fmt.Sprintf("%s; add what it uses beyond Role %s to that, then %s", see, role, away)
	default:
		fix = fmt.Sprintf("%s; write a Role %s of that, bind it, then %s", see, role, away)
	}
	if len(over.lines) > 0 {
		fix += ". Lines of the Role:"
	}
	at := manifest.Path{"spec"}
	pos, _ := b.set.Workload.Position(at)
	b.set.Findings = append(b.set.Findings, report.Finding{
		Rule: RightsRule, Severity: rules.Warning, Path: at.String(), Line: pos.Line, Column: pos.Column,
		Message: fmt.Sprintf("ServiceAccount %s may do more than the input shows in use, by %s %s (%s): %s",
			account, over.binding.Kind, over.binding.Name, b.place(over.binding.File, lineOf(over.binding)), strings.Join(over.what, "; ")),
		Fix: fix, Example: strings.Join(over.lines, "\n"),
	})
}
