package rules

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	celconfig "k8s.io/apiserver/pkg/apis/cel"
)

// largePods are pods up to the size of a request to the API server (3 MiB), each
// large in another way, and pods just below what counts as oversized.
func largePods() map[string]map[string]any {
	many := func(n int, one func(i int) any) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = one(i)
		}
		return out
	}
	container := func(fields map[string]any) map[string]any {
		c := map[string]any{"name": "a", "image": "registry.example/app:1"}
		for k, v := range fields {
			c[k] = v
		}
		return podOf(map[string]any{"spec": map[string]any{"containers": []any{c}}})
	}
	env := func(n, name, value int) map[string]any {
		return container(map[string]any{"env": many(n, func(i int) any {
			return map[string]any{"name": strings.Repeat("n", name-6) + fmt.Sprintf("%06d", i), "value": strings.Repeat("v", value)}
		})})
	}
	containers := func(n int, fields map[string]any) map[string]any {
		return podOf(map[string]any{"spec": map[string]any{"containers": many(n, func(i int) any {
			c := map[string]any{"name": fmt.Sprint("c", i), "image": "registry.example/app:1"}
			for k, v := range fields {
				c[k] = v
			}
			return c
		})}})
	}
	word := func(int) any { return "x" }
	return map[string]map[string]any{
		"3 MiB in one argument":        container(map[string]any{"args": []any{strings.Repeat("x ", 3<<19)}}),
		"700,000 arguments":            container(map[string]any{"args": many(700_000, word)}),
		"60,000 variables":             env(60_000, 6, 1),
		"3 MiB in one value":           env(1, 6, 3<<20),
		"3 MiB in one name":            env(1, 3<<20, 1),
		"50,000 containers":            containers(50_000, nil),
		"60,000 volumes":               podOf(map[string]any{"spec": map[string]any{"containers": []any{map[string]any{"name": "a"}}, "volumes": many(60_000, func(i int) any { return map[string]any{"name": fmt.Sprint(i), "emptyDir": map[string]any{}} })}}),
		"3 MiB in one image":           container(map[string]any{"image": strings.Repeat("a/", 3<<19)}),
		"largest command line allowed": container(map[string]any{"args": []any{strings.Repeat("x ", 32768/2)}}),
		"most arguments allowed":       containers(100, map[string]any{"args": many(160, word)}),
		"longest images allowed":       containers(16, map[string]any{"image": strings.Repeat("a/", 512)}),
		"too many long images":         containers(17, map[string]any{"image": strings.Repeat("a/", 512)}),
		"most variables allowed":       env(1000, 31, 65),
		"most containers allowed":      containers(100, map[string]any{"env": many(30, func(i int) any { return map[string]any{"name": fmt.Sprint("NAME_", i), "value": "v"} }), "ports": many(30, func(i int) any { return map[string]any{"containerPort": int64(i)} })}),
		"most volumes allowed": podOf(map[string]any{"spec": map[string]any{
			"containers": many(20, func(i int) any {
				return map[string]any{"name": fmt.Sprint(i), "volumeMounts": many(500, func(k int) any { return map[string]any{"name": fmt.Sprint(k), "mountPath": fmt.Sprint("/mnt/", k)} })}
			}),
			"volumes": many(500, func(i int) any {
				return map[string]any{"name": fmt.Sprint(i), "hostPath": map[string]any{"path": fmt.Sprint("/data/", i)}}
			}),
		}}),
	}
}

// TestOversized: what would go beyond the budget is oversized, and nothing just
// below the limits is.
func TestOversized(t *testing.T) {
	e := builtin(t)
	r, ok := e.Catalogue().Rule("oversized-pod")
	if !ok {
		t.Fatal("no rule oversized-pod")
	}
	for name, object := range largePods() {
		fires, err := e.Pod(object).Fires(r)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := !strings.HasSuffix(name, "allowed"); fires != want {
			t.Errorf("a pod with %s: oversized is %t, want %t", name, fires, want)
		}
	}
}

// TestCost: on the worst pods, each rule stays within what the API server gives
// one expression, and all of them within what it gives one policy. With -v it
// prints the table of docs/rules.md.
func TestCost(t *testing.T) {
	e := builtin(t)
	worst := map[string]uint64{}
	for name, object := range largePods() {
		shared := e.Pod(object) // as in one policy: variables are evaluated once
		var total uint64
		for i := range e.catalogue.Rules {
			r := &e.catalogue.Rules[i]
			if r.Scope != ScopePod {
				continue
			}
			alone := e.Pod(object)
			cost := expressionCost(t, alone, r) + alone.variableCost
			worst[r.ID] = max(worst[r.ID], cost)
			if cost > celconfig.PerCallLimit {
				t.Errorf("%s on a pod with %s costs %d, the limit is %d", r.ID, name, cost, celconfig.PerCallLimit)
			}
			total += expressionCost(t, shared, r)
		}
		total += shared.variableCost
		t.Logf("%-30s all rules %8d", name, total)
		if total > celconfig.RuntimeCELCostBudget {
			t.Errorf("all rules on a pod with %s cost %d, the budget is %d", name, total, celconfig.RuntimeCELCostBudget)
		}
	}
	ids := slices.SortedFunc(maps.Keys(worst), func(a, b string) int { return cmp.Compare(worst[b], worst[a]) })
	for _, id := range ids[:5] {
		t.Logf("%-30s at worst   %8d of %d", id, worst[id], celconfig.PerCallLimit)
	}
}

// expressionCost is what the rule's expression costs on the pod, in CEL's units.
func expressionCost(t *testing.T, pod *Pod, r *Rule) uint64 {
	t.Helper()
	prg, err := pod.e.rule(r)
	if err != nil {
		t.Fatal(err)
	}
	_, details, err := prg.Eval(pod.activation)
	if err != nil || details.ActualCost() == nil {
		t.Fatalf("%s: cut off: %v", r.ID, err)
	}
	return *details.ActualCost()
}
