package rules

import (
	"fmt"
	"testing"
)

// TestGuardsHideNothing: on every pod of every rule's cases, what the guard lets
// through and what the expression alone says is the same.
func TestGuardsHideNothing(t *testing.T) {
	e := builtin(t)
	c := e.Catalogue()
	skipped, evaluated := 0, 0
	for i := range c.Rules {
		for _, ex := range Examples(&c.Rules[i]) {
			pod := e.Pod(ex.Pod)
			for k := range c.Rules {
				r := &c.Rules[k]
				if r.Scope != ScopePod {
					continue
				}
				got, err1 := pod.Fires(r)
				want, err2 := pod.evaluate(r)
				if got != want || err1 != nil || err2 != nil {
					t.Errorf("%s on %s/%s: %t with its guard, %t without (%v, %v)", r.ID, c.Rules[i].ID, ex.Name, got, want, err1, err2)
				}
				if e.mayFire(k, ex.Pod, pod.glance) {
					evaluated++
				} else {
					skipped++
				}
			}
		}
	}
	t.Logf("guards skipped %d of %d evaluations", skipped, skipped+evaluated)
	if skipped < evaluated {
		t.Errorf("guards skipped only %d of %d evaluations", skipped, skipped+evaluated)
	}
}

// TestFoundIsFired: on every pod of every rule's cases a rule has matches where
// its expression is true, and nowhere else.
func TestFoundIsFired(t *testing.T) {
	e := builtin(t)
	c := e.Catalogue()
	found := 0
	for i := range c.Rules {
		for _, ex := range Examples(&c.Rules[i]) {
			pod := e.Pod(ex.Pod)
			for k := range c.Rules {
				r := &c.Rules[k]
				if r.Scope != ScopePod {
					continue
				}
				matches, err1 := pod.Matches(r)
				fires, err2 := pod.evaluate(r)
				if fires != (len(matches) > 0) || err1 != nil || err2 != nil {
					t.Errorf("%s on %s/%s: matches %v, the expression says %t (%v, %v)", r.ID, c.Rules[i].ID, ex.Name, matches, fires, err1, err2)
				}
				if fires {
					found++
				}
			}
		}
	}
	if found < len(c.Rules) {
		t.Errorf("only %d matches: it compares nothing", found)
	}
}

func TestRepository(t *testing.T) {
	for image, want := range map[string]string{
		"nginx": "nginx", "nginx:1": "nginx", "a.b:5000/c/d": "a.b:5000/c/d", "a.b:5000/c/d:1@sha256:0": "a.b:5000/c/d",
		"c@sha256:0": "c", "": "", "c/": "c/", "c/:x": "c/",
	} {
		if got := repository(image); got != want {
			t.Errorf("%q: %q, want %q", image, got, want)
		}
		pattern := pattern{text: ImagePattern([]string{"nginx", "d", "c/d", "c*"})}
		if pattern.match(image) != pattern.match(want) {
			t.Errorf("%q and %q: a pattern matches one of them", image, want)
		}
	}
}

// TestGuardsForgetTexts: what guards remember is bounded.
func TestGuardsForgetTexts(t *testing.T) {
	e := builtin(t)
	e.guards.prepare(e.Catalogue())
	for i := range maxTexts + 10 {
		e.guards.match(envText, fmt.Sprintf("NAME_%d", i))
	}
	if n := len(e.guards.seen[envText]); n > maxTexts {
		t.Errorf("%d texts remembered, allowed are %d", n, maxTexts)
	}
}

// TestSmallIsNotOversized: where the variable is not evaluated, it is false.
func TestSmallIsNotOversized(t *testing.T) {
	e := builtin(t)
	var oversized *variable
	for _, v := range e.variables {
		if v.Name == oversizedVar {
			oversized = v
		}
	}
	prg, err := oversized.program()
	if err != nil {
		t.Fatal(err)
	}
	pods := largePods()
	for i := range e.Catalogue().Rules {
		for _, ex := range Examples(&e.Catalogue().Rules[i]) {
			pods[e.Catalogue().Rules[i].ID+ex.Name] = ex.Pod
		}
	}
	smalls := 0
	for name, object := range pods {
		if !small(object) {
			continue
		}
		smalls++
		out, err := evalBool(prg, e.Pod(object).activation)
		if err != nil || out {
			t.Errorf("%s is small, and oversized is %t (%v)", name, out, err)
		}
	}
	if smalls < 100 {
		t.Errorf("only %d pods are small: it saves nothing", smalls)
	}
	for name, object := range largePods() {
		if small(object) {
			t.Errorf("a pod with %s is small", name)
		}
	}
}

func TestNameOf(t *testing.T) {
	for when, names := range map[string][2]string{
		`v.name == 'A.B' && v.value == 'x'`:           {"A.B", "AxB"},
		`v.name.matches('^(A|B)$') && v.value == 'x'`: {"B", "C"},
		`v.name.matches(r'^A\d$') && v.value == 'x'`:  {"A1", "AA"},
	} {
		re := nameOf(when)
		if re == nil || !re.MatchString(names[0]) || re.MatchString(names[1]) {
			t.Errorf("%s: pattern %v", when, re)
		}
	}
	for _, when := range []string{
		`v.name == 'A'`, `v.value == 'x' && v.name == 'A'`, `v.name == 'A' && v.value.matches('a') || v.name == 'B'`, `v.name.matches('\\d') && true`, `v.names == 'A' && true`,
	} {
		if re := nameOf(when); re != nil {
			t.Errorf("%s: pattern %v, want none", when, re)
		}
	}
}
