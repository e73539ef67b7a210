package rules

import (
	"fmt"
	"regexp"
	"slices"
	"testing"
)

// word is what the mutation test breaks: every name in an expression or pattern.
var word = regexp.MustCompile(`[A-Za-z][A-Za-z0-9]+`)

// escapes of RE2 and CEL's raw-string prefix are not words.
func words(s string) [][]int {
	var out [][]int
	for _, loc := range word.FindAllStringIndex(s, -1) {
		if loc[0] > 0 && s[loc[0]-1] == '\\' {
			loc[0]++ // \bword
			if loc[1]-loc[0] < 2 {
				continue
			}
		}
		out = append(out, loc)
	}
	return out
}

type mutation struct {
	name string
	rule Rule
}

// mutations returns the rule with each of its parts broken, one at a time.
func mutations(r Rule) []mutation {
	var out []mutation
	add := func(name string, change func(*Rule)) {
		m := r
		m.Any = slices.Clone(r.Any)
		for i := range m.Any {
			a := &m.Any[i]
			a.At, a.Image, a.Command, a.Env = slices.Clone(a.At), slices.Clone(a.Image), slices.Clone(a.Command), slices.Clone(a.Env)
		}
		change(&m)
		out = append(out, mutation{name, m})
	}
	breakWords := func(name, s string, set func(*Rule, string)) {
		for _, loc := range words(s) {
			add(fmt.Sprintf("%s: %s", name, s[loc[0]:loc[1]]), func(m *Rule) { set(m, s[:loc[0]]+"zzq"+s[loc[1]:]) })
		}
	}
	breakWords("if", r.If, func(m *Rule, s string) { m.If = s })
	if r.If != "" {
		add("without if", func(m *Rule) { m.If = "" })
	}
	for i, a := range r.Any {
		if len(r.Any) > 1 {
			add(fmt.Sprintf("without alternative %d", i+1), func(m *Rule) { m.Any = slices.Delete(m.Any, i, i+1) })
		}
		if a.When != "" {
			for _, always := range []string{"true", "false"} {
				add("when: "+always, func(m *Rule) { m.Any[i].When = always })
			}
			breakWords("when", a.When, func(m *Rule, s string) { m.Any[i].When = s })
		}
		if a.Absent != "" {
			for _, always := range []string{"true", "false"} {
				if a.Absent != always {
					add("absent: "+always, func(m *Rule) { m.Any[i].Absent = always })
				}
			}
			breakWords("absent", a.Absent, func(m *Rule, s string) { m.Any[i].Absent = s })
		}
		for _, list := range []struct {
			name string
			of   func(*Alternative) Strings
		}{
			{"at", func(a *Alternative) Strings { return a.At }},
			{"image", func(a *Alternative) Strings { return a.Image }},
			{"command", func(a *Alternative) Strings { return a.Command }},
			{"env", func(a *Alternative) Strings { return a.Env }},
		} {
			for k, s := range list.of(&a) {
				breakWords(list.name, s, func(m *Rule, s string) { list.of(&m.Any[i])[k] = s })
			}
		}
	}
	return out
}

// TestMutationsTurnTheCasesRed breaks every name in every rule: a rule whose
// cases stay green has a part that no case needs.
func TestMutationsTurnTheCasesRed(t *testing.T) {
	e := builtin(t)
	count := 0
	for i := range e.Catalogue().Rules {
		r := &e.Catalogue().Rules[i]
		if r.Scope != ScopePod {
			continue
		}
		all := Examples(r)
		for _, m := range mutations(*r) {
			count++
			fresh := &Evaluator{catalogue: e.catalogue, env: e.env, varType: e.varType, names: e.names, variables: e.variables, declared: e.declared, memo: newMemo(len(e.catalogue.Rules)), programs: map[string]*program{}}
			if !slices.ContainsFunc(all, func(ex Example) bool { return run(fresh, &m.rule, ex) != "" }) {
				t.Errorf("rule %s: no case notices the mutation %q", r.ID, m.name)
			}
		}
	}
	t.Logf("%d mutations", count)
	if count < 300 {
		t.Errorf("only %d mutations: the test no longer finds the parts of rules", count)
	}
}
