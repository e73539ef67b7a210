package rules

import (
	"fmt"
	"testing"

	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/bulkhead-dev/bulkhead/risk"
)

// merged is the built-in catalogue with the expressions of Any as rules of
// their own, and which rules they stand for.
func merged(t *testing.T) (*Evaluator, map[risk.Class][]*Rule, map[risk.Class][]*Rule) {
	t.Helper()
	c, err := Source()
	if err != nil {
		t.Fatal(err)
	}
	of, any := map[risk.Class][]string{}, &Catalogue{}
	for _, class := range risk.Classes() {
		for i, expr := range Any(deciding(c, class)) {
			id := fmt.Sprintf("%s-%d", class, i)
			of[class] = append(of[class], id)
			any.Rules = append(any.Rules, Rule{ID: id, Scope: ScopePod, Any: []Alternative{{Each: "pod", At: Strings{"spec"}, When: "!variables.oversized && (" + expr + ")"}}, Large: true})
		}
	}
	all, err := c.With(any)
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEvaluator(all)
	if err != nil {
		t.Fatal(err)
	}
	single, together := map[risk.Class][]*Rule{}, map[risk.Class][]*Rule{}
	for _, class := range risk.Classes() {
		single[class] = deciding(all, class)
		for _, id := range of[class] {
			r, _ := all.Rule(id)
			together[class] = append(together[class], r)
		}
	}
	return e, single, together
}

// deciding are the rules that are evidence for a class, but that about pods
// which are oversized.
func deciding(c *Catalogue, class risk.Class) []*Rule {
	var out []*Rule
	for i := range c.Rules {
		if r := &c.Rules[i]; r.Scope == ScopePod && r.Decides() && r.Class == class && !r.Large {
			out = append(out, r)
		}
	}
	return out
}

func firesAny(t *testing.T, pod *Pod, rs []*Rule) bool {
	t.Helper()
	for _, r := range rs {
		fires, err := pod.Fires(r)
		if err != nil {
			t.Fatalf("%s: %v", r.ID, err)
		}
		if fires {
			return true
		}
	}
	return false
}

// TestAny: what is rendered together says what the rules say, on every pod of
// every rule's cases.
func TestAny(t *testing.T) {
	e, single, together := merged(t)
	fired := map[risk.Class]int{}
	for i := range e.Catalogue().Rules {
		for _, ex := range Examples(&e.Catalogue().Rules[i]) {
			pod := e.Pod(ex.Pod)
			for _, class := range risk.Classes() {
				want := firesAny(t, pod, single[class])
				if got := firesAny(t, pod, together[class]); got != want {
					t.Errorf("%s/%s, class %s: together %t, by itself %t", e.Catalogue().Rules[i].ID, ex.Name, class, got, want)
				}
				if want {
					fired[class]++
				}
			}
		}
	}
	for _, class := range risk.Classes() {
		t.Logf("%-15s %2d rules in %2d expressions, true on %d pods", class, len(single[class]), len(together[class]), fired[class])
		if fired[class] == 0 {
			t.Errorf("no case shows class %s", class)
		}
	}
}

// TestAnyCost: on the worst pods, each expression keeps within what the API
// server gives one, and all together within what it gives a policy.
func TestAnyCost(t *testing.T) {
	e, _, together := merged(t)
	for name, object := range largePods() {
		shared := e.Pod(object)
		var total uint64
		for _, class := range risk.Classes() {
			for _, r := range together[class] {
				cost := expressionCost(t, shared, r)
				if cost > celconfig.PerCallLimit*9/10 {
					t.Errorf("%s on a pod with %s costs %d of %d: %s", r.ID, name, cost, celconfig.PerCallLimit, r.Expression())
				}
				total += cost
			}
		}
		total += shared.variableCost
		t.Logf("%-30s %8d", name, total)
		if total > celconfig.RuntimeCELCostBudget*9/10 {
			t.Errorf("on a pod with %s all cost %d of %d", name, total, celconfig.RuntimeCELCostBudget)
		}
	}
}
