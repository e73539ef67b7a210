package rules

import (
	"regexp"
	"testing"

	celconfig "k8s.io/apiserver/pkg/apis/cel"

	"github.com/bulkhead-dev/bulkhead/risk"
)

func allDeciding(c *Catalogue) []*Rule {
	var out []*Rule
	for _, class := range risk.Classes() {
		out = append(out, deciding(c, class)...)
	}
	return out
}

// suspecting is the built-in catalogue with Suspect as a rule.
func suspecting(t *testing.T) (*Evaluator, *Rule) {
	t.Helper()
	c, err := Source()
	if err != nil {
		t.Fatal(err)
	}
	expr := Suspect(allDeciding(c))
	all, err := c.With(&Catalogue{Rules: []Rule{{ID: "suspect", Scope: ScopePod, Large: true, Any: []Alternative{{Each: "pod", At: Strings{"spec"}, When: "!variables.oversized && (" + expr + ")"}}}}})
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEvaluator(all)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := all.Rule("suspect")
	return e, r
}

// TestSuspectHidesNothing: a pod on which a rule fires that decides a class is
// suspect, and pods that look like nothing are not.
func TestSuspectHidesNothing(t *testing.T) {
	e, suspect := suspecting(t)
	rs := allDeciding(e.Catalogue())
	fired, spared, others := 0, 0, 0
	for i := range e.Catalogue().Rules {
		for _, ex := range Examples(&e.Catalogue().Rules[i]) {
			pod := e.Pod(ex.Pod)
			is, err := pod.Fires(suspect)
			if err != nil {
				t.Fatal(err)
			}
			oversized, _ := e.Catalogue().Rule("oversized-pod")
			if large, err := pod.Fires(oversized); err != nil || large {
				continue
			}
			switch fires := firesAny(t, pod, rs); {
			case fires && !is:
				t.Errorf("%s/%s: a rule fires, and it is not suspect", e.Catalogue().Rules[i].ID, ex.Name)
			case fires:
				fired++
			default:
				others++
				if !is {
					spared++
				}
			}
		}
	}
	t.Logf("suspect: all %d pods on which a rule fires; not: %d of %d others", fired, spared, others)
	if fired == 0 || spared*2 < others {
		t.Error("this is of no use")
	}
}

// TestSuspectCost: within what the API server gives one expression.
func TestSuspectCost(t *testing.T) {
	e, suspect := suspecting(t)
	for name, object := range largePods() {
		if cost := expressionCost(t, e.Pod(object), suspect); cost > celconfig.PerCallLimit*9/10 {
			t.Errorf("on a pod with %s it costs %d of %d", name, cost, celconfig.PerCallLimit)
		} else {
			t.Logf("%-30s %8d", name, cost)
		}
	}
}

// TestCue: every pattern is matched only where its cue is.
func TestCue(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		cue           string
	}{
		{`\b(sh|bash)\s+-c\b`, "bash -c", `(\b(sh|bash)[\t\n\f\r ]+-c\b)`},
		{`([A-Z]+_)*(ES|KB)_(URL|URI)(_[A-Z]+)?`, "MY_ES_URL", `(ES_URI|ES_URL|KB_URI|KB_URL)`},
		{`(^|[ /;&])vllm (serve|launch)\b`, "vllm serve", `(vllm launch|vllm serve)`},
		{`([A-Z]+_)*[A-Z]_ID(_[A-Z]+)?`, "MY_A_ID", `([A-Z]_ID)`},
		{`--max[-_]len`, "--max_len", `(--max-len|--max_len)`},
		{`(?i)\bvector`, "VECTOR", `((?i:\bVECTOR))`},
		{`(HF|HUGGING_?FACE)_TOKEN`, "HF_TOKEN", `(HF_TOKEN|HUGGINGFACE_TOKEN|HUGGING_FACE_TOKEN)`},
		{`[A-Z_]*SHELLCTL`, "SHELLCTL", `(SHELLCTL)`},
	} {
		got := cue([]string{tt.pattern})
		if !regexp.MustCompile(got).MatchString(tt.text) {
			t.Errorf("%s matches %q, and its cue %s does not", tt.pattern, tt.text, got)
		}
		if got != tt.cue {
			t.Errorf("the cue of %s is %s, not %s", tt.pattern, got, tt.cue)
		}
	}
}
