package rules

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// example is one pod of a rule's cases, with the evidence that it must give.
type example struct {
	name string
	pod  map[string]any
	at   []string // nil: the rule must stay silent
}

// examples expands the short forms of a rule's cases into pods.
func examples(r *Rule) []example {
	var out []example
	for i, c := range r.Cases.Fires {
		out = append(out, expandCase(fmt.Sprintf("fires/%d", i+1), c)...)
	}
	for i, c := range r.Cases.Silent {
		for _, e := range expandCase(fmt.Sprintf("silent/%d", i+1), c) {
			e.at = nil
			out = append(out, e)
		}
	}
	return out
}

func expandCase(name string, c Case) []example {
	one := func(suffix string, container map[string]any, at ...string) example {
		full := map[string]any{"name": "main", "image": "registry.example/app:1"}
		maps.Copy(full, container)
		if len(c.At) > 0 {
			at = c.At
		}
		return example{name + suffix, podOf(map[string]any{"spec": map[string]any{"containers": []any{full}}}), at}
	}
	var out []example
	for _, image := range c.Images {
		out = append(out, one("/"+image, map[string]any{"image": image}, "spec.containers[0].image"))
	}
	for _, words := range c.Commands {
		command := make([]any, len(words))
		for i, w := range words {
			command[i] = w
		}
		e := one("/"+fmt.Sprint(words), map[string]any{"command": command})
		e.at = []string{""} // any word of the command
		out = append(out, e)
	}
	for _, env := range c.Env {
		out = append(out, one("/"+env, map[string]any{"env": []any{map[string]any{"name": env, "value": "x"}}}, "spec.containers[0].env[0].name"))
	}
	if c.Pod != nil {
		out = append(out, example{name, podOf(c.Pod), c.At})
	}
	if c.Container != nil {
		out = append(out, one("", c.Container))
	}
	return out
}

func podOf(parts map[string]any) map[string]any {
	pod := map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": map[string]any{}}
	maps.Copy(pod, parts)
	return normal(pod).(map[string]any)
}

// normal turns the YAML library's ints into the int64 of decoded manifests.
func normal(v any) any {
	switch x := v.(type) {
	case int:
		return int64(x)
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			out[k] = normal(e)
		}
		return out
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = normal(e)
		}
		return out
	}
	return v
}

// run evaluates one example and returns what is wrong with it, or "".
func run(e *Evaluator, r *Rule, ex example) string {
	matches, err := e.Pod(ex.pod).Matches(r)
	if err != nil {
		return err.Error()
	}
	var got []string
	for _, m := range matches {
		got = append(got, manifest.Path(m.Path).String())
	}
	if len(ex.at) == 1 && ex.at[0] == "" {
		if len(got) != 1 || len(got[0]) < 26 || got[0][:26] != "spec.containers[0].command" {
			return fmt.Sprintf("evidence %v, not one word of the command", got)
		}
		return ""
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(ex.at))
	return cmp.Diff(want, got)
}

func builtin(t testing.TB) *Evaluator {
	t.Helper()
	c, err := Builtin()
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEvaluator(c)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestCasesOfEveryRule(t *testing.T) {
	e := builtin(t)
	if err := e.Compile(); err != nil {
		t.Fatal(err)
	}
	for i := range e.Catalogue().Rules {
		r := &e.Catalogue().Rules[i]
		if r.Scope != ScopePod {
			continue
		}
		if len(r.Cases.Fires) == 0 || len(r.Cases.Silent) == 0 {
			t.Errorf("rule %s needs a case that fires and one that does not", r.ID)
		}
		for _, ex := range examples(r) {
			t.Run(r.ID+"/"+ex.name, func(t *testing.T) {
				if diff := run(e, r, ex); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}
