package rules

import (
	"fmt"
	"testing"
	"testing/fstest"
)

func TestDigest(t *testing.T) {
	m := newMemo(1)
	type object = map[string]any
	same := [][2]any{
		{object{"a": "1", "b": object{"c": []any{"x"}}}, object{"b": object{"c": []any{"x"}}, "a": "1"}},
		{nil, nil},
	}
	for _, p := range same {
		if m.of(p[0]) != m.of(p[1]) {
			t.Errorf("%v and %v are one content and have two digests", p[0], p[1])
		}
	}
	different := []any{
		object{}, []any{}, nil, "", false, true, int64(0), int64(1), float64(1), "1", "true",
		object{"a": "b"}, object{"b": "a"}, object{"a": object{"b": "c"}}, object{"a": object{"c": "b"}}, object{"a": []any{"b"}},
		[]any{"a", "b"}, []any{"b", "a"}, []any{"ab"}, []any{[]any{"a"}, "b"}, []any{[]any{"a", "b"}}, []any{"a"}, []any{"a", "a"},
		object{"a": "x", "b": "y"}, object{"a": "y", "b": "x"}, object{"a": nil},
	}
	for i, a := range different {
		for _, b := range different[:i] {
			if m.of(a) == m.of(b) {
				t.Errorf("%#v and %#v have one digest", a, b)
			}
		}
	}
	if m.of("a", "b") == m.of("b", "a") {
		t.Error("two parts have no order")
	}
}

func TestMemoIsBounded(t *testing.T) {
	m := newMemo(1)
	for i := range maxPods + 10 {
		m.of(fmt.Sprint(i))
	}
	if len(m.pods) > maxPods {
		t.Errorf("%d pods remembered, allowed are %d", len(m.pods), maxPods)
	}
}

// TestMemoOfMetadata: pods that differ in what a rule reads do not share matches;
// pods that differ in nothing else than what no rule reads share all of them.
func TestMemoOfMetadata(t *testing.T) {
	const rule = `rules: [{id: r, title: t, kind: hint, scope: pod, class: unknown, message: m, fix: f, any: [%s]}]`
	for alternative, want := range map[string][2]int{
		`{each: pod, at: metadata.labels.l, when: "v == 'x'"}`:                             {1, 0},
		`{each: pod, at: spec.hostname, when: "object.metadata.labels.l == v"}`:            {1, 0},
		`{each: pod, at: spec.hostname, when: "object['meta' + 'data'].labels.l == v"}`:    {1, 0},
		`{at: image, when: "object.?metadata.labels.l.orValue('') == 'x'"}`:                {1, 0},
		`{at: tty, when: "false", absent: "[object].exists(o, o.metadata.name == 'y-1')"}`: {0, 1},
		`{each: pod, at: spec.hostname, when: "v == 'x'"}`:                                 {1, 1},
		`{each: pod, at: spec.hostname, when: "object.spec.hostname == 'x'"}`:              {1, 1},
	} {
		c, err := Load(fstest.MapFS{"r.yaml": {Data: fmt.Appendf(nil, rule, alternative)}, "v.yaml": {Data: variablesOf(t)}})
		if err != nil {
			t.Fatal(err)
		}
		e, err := NewEvaluator(c)
		if err != nil {
			t.Fatal(err)
		}
		for i, label := range []string{"x", "y"} {
			pod := podOf(map[string]any{
				"metadata": map[string]any{"name": fmt.Sprint(label, "-", i), "labels": map[string]any{"l": label}},
				"spec":     map[string]any{"hostname": "x", "containers": []any{map[string]any{"image": "i"}}},
			})
			matches, err := e.Pod(pod).Matches(&c.Rules[0])
			if err != nil || len(matches) != want[i] {
				t.Errorf("%s, label %s: %d matches (%v), want %d", alternative, label, len(matches), err, want[i])
			}
		}
		if shared, spec := len(e.memo.pods) == 1, want[0] == want[1]; shared != spec {
			t.Errorf("%s: %d contents remembered of two pods with one spec", alternative, len(e.memo.pods))
		}
	}
}

// TestBuiltinRulesSeeSpecs: replicas and overlays differ in names and labels. A
// built-in rule that reads those is asked again for each of them.
func TestBuiltinRulesSeeSpecs(t *testing.T) {
	c := builtin(t).Catalogue()
	for i := range c.Rules {
		if c.seeWhole().has(i) {
			t.Errorf("rule %s sees more than the spec", c.Rules[i].ID)
		}
	}
}

func variablesOf(t *testing.T) []byte {
	t.Helper()
	text, err := files.ReadFile("variables.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return text
}
