package rules

import (
	"regexp"
	"regexp/syntax"
	"strings"
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
	expr := Suspect(c, allDeciding(c))
	all, err := c.With(&Catalogue{Rules: []Rule{{ID: "suspect", Scope: ScopePod, Large: true, Any: []Alternative{{Each: "pod", At: Strings{"spec"}, When: expr}}}}})
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

// TestSuspectSeesOversized: a pod that is oversized by one measure alone is suspect.
func TestSuspectSeesOversized(t *testing.T) {
	e, suspect := suspecting(t)
	large, _ := e.Catalogue().Rule("oversized-pod")
	repeat := func(n int, item any) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = item
		}
		return out
	}
	text := func(n int) string { return strings.Repeat("x", n) }
	containers := func(n int, c map[string]any) map[string]any { return map[string]any{"containers": repeat(n, c)} }
	for name, spec := range map[string]map[string]any{
		"containers":    containers(101, map[string]any{}),
		"volumes":       {"volumes": repeat(501, map[string]any{})},
		"an image":      containers(1, map[string]any{"image": text(1025)}),
		"images":        containers(99, map[string]any{"image": text(170)}),
		"words":         containers(1, map[string]any{"args": repeat(1001, "")}),
		"a word":        containers(1, map[string]any{"command": []any{text(32769)}}),
		"variables":     containers(1, map[string]any{"env": repeat(1001, map[string]any{"name": ""})}),
		"a name":        containers(1, map[string]any{"env": []any{map[string]any{"name": text(32769)}}}),
		"a value":       containers(1, map[string]any{"env": []any{map[string]any{"name": "A", "value": text(65537)}}}),
		"values":        containers(10, map[string]any{"env": repeat(10, map[string]any{"name": "A", "value": text(656)})}),
		"ports":         containers(1, map[string]any{"ports": repeat(201, map[string]any{})}),
		"volume mounts": containers(1, map[string]any{"volumeMounts": repeat(501, map[string]any{})}),
	} {
		pod := e.Pod(map[string]any{"spec": spec})
		if is, err := pod.Fires(large); err != nil || !is {
			t.Errorf("%s: oversized: %v, %v", name, is, err)
		}
		if is, err := pod.Fires(suspect); err != nil || !is {
			t.Errorf("%s: suspect: %v, %v", name, is, err)
		}
	}
}

// TestSuspectCost: within what the API server gives one expression.
func TestSuspectCost(t *testing.T) {
	e, suspect := suspecting(t)
	pods := largePods()
	pods["most that is looked at"] = mostGlanced()
	for name, object := range pods {
		if is, err := e.Pod(object).Fires(suspect); err != nil || is == strings.HasPrefix(name, "most that") {
			t.Errorf("on a pod with %s: %v, %v", name, is, err)
		}
		if cost := expressionCost(t, e.Pod(object), suspect); cost > celconfig.PerCallLimit*9/10 {
			t.Errorf("on a pod with %s it costs %d of %d", name, cost, celconfig.PerCallLimit)
		} else {
			t.Logf("%-30s %8d", name, cost)
		}
	}
}

// mostGlanced is a pod that is not suspect, and has as much as one can have that is not.
func mostGlanced() map[string]any {
	text := func(n int) string { return strings.Repeat("zz ", n/3) }
	var containers []any
	for range maxGlanceContainers {
		var env []any
		for range 7 {
			env = append(env, map[string]any{"name": strings.Repeat("Z", 12), "value": text(maxGlanceValue)})
		}
		containers = append(containers, map[string]any{"name": "z", "image": text(100), "args": []any{text(200)}, "env": env, "volumeMounts": []any{map[string]any{"mountPath": text(200)}}})
	}
	return map[string]any{"spec": map[string]any{"containers": containers}}
}

// TestCue: every pattern is matched only where its cue is.
func TestCue(t *testing.T) {
	for _, tt := range []struct {
		of            wording
		pattern, text string
		cue           string
	}{
		{ofLines(), `\b(sh|bash)\s+-c\b`, "bash -c", `(\b(?:bash|sh))`},
		{ofNames(), `([A-Z]+_)*(ES|KB)_(URL|URI)(_[A-Z]+)?`, "MY_ES_URL", `((?:\b|_)(?:ES_URI|ES_URL|KB_URI|KB_URL))`},
		{ofLines(), `(^|[ /;&])vllm (serve|launch)\b`, "vllm serve", `(\b(?:vllm launch|vllm serve))`},
		{ofLines(), `vllm (serve|launch)\b`, "vllm serve", `(vllm launch|vllm serve)`},
		{ofNames(), `([A-Z]+_)*[A-Z]_ID(_[A-Z]+)?`, "MY_A_ID", `((?:\b|_)(?:ID))`},
		{ofLines(), `--max[-_]len`, "--max_len", `(\b(?:max-len|max_len))`},
		{ofLines(), `(?i)\bvector`, "VECTOR", `((?i:\bVECTOR))`},
		{ofLines(), `^(?i:vector)$`, "VECTOR", `((?i:(?:)VECTOR(?:)))`},
		{ofNames(), `(HF|HUGGING_?FACE)_TOKEN`, "HF_TOKEN", `((?:\b|_)(?:HF_TOKEN|HUGGINGFACE_|HUGGING_FACE))`},
		{ofNames(), `[A-Z_]*SHELLCTL`, "SHELLCTL", `(SHELLCTL)`},
		{ofImages(), ImagePattern([]string{"*_mcp-*"}), "a/b_mcp-c:1", `((?:\b|_)(?:mcp-))`},
	} {
		got := tt.of.cue([]string{tt.pattern})
		if !regexp.MustCompile(got).MatchString(tt.text) {
			t.Errorf("%s matches %q, and its cue %s does not", tt.pattern, tt.text, got)
		}
		if got != tt.cue {
			t.Errorf("the cue of %s is %s, not %s", tt.pattern, got, tt.cue)
		}
	}
}

// TestCueHidesNothing: what texts a pattern of a rule matches, wherever they
// stand, its cue does.
func TestCueHidesNothing(t *testing.T) {
	c, err := Source()
	if err != nil {
		t.Fatal(err)
	}
	type kind struct {
		of       wording
		patterns []string
		full     func(string) string // the pattern as rules match it
		before   []string
	}
	var images, lines, names []string
	for _, r := range c.Rules {
		for _, a := range r.Any {
			for _, name := range a.Image {
				images = append(images, ImagePattern([]string{name}))
			}
			lines, names = append(lines, a.Command...), append(names, a.Env...)
		}
	}
	same := func(p string) string { return p }
	random := new(dice)
	for name, k := range map[string]kind{
		"images": {ofImages(), images, same, []string{"", "registry.example/", "a.b/c-d/"}},
		"lines":  {ofLines(), lines, same, []string{"", "sh -c ", "/usr/bin/", "x", "x_", "--", "a;", "x\n"}},
		"names":  {ofNames(), names, func(p string) string { return envPattern([]string{p}) }, []string{"", "HOME ", "my.name "}},
	} {
		matched := 0
		for _, p := range k.patterns {
			full, cue := regexp.MustCompile(k.full(p)), regexp.MustCompile(k.of.cue([]string{p}))
			re, err := syntax.Parse(p, syntax.Perl)
			if err != nil {
				t.Fatal(err)
			}
			for i := range 400 {
				text := k.before[i%len(k.before)] + sample(random, re) + []string{"", " x", ":1"}[i%3]
				if !full.MatchString(text) {
					continue
				}
				matched++
				if in := "a " + text + " b"; !cue.MatchString(text) || !cue.MatchString(in) {
					t.Fatalf("%s: %s matches %q, and its cue %s does not", name, p, text, cue)
				}
			}
		}
		if matched < 20*len(k.patterns) {
			t.Errorf("%s: %d texts for %d patterns are too few to say something", name, matched, len(k.patterns))
		}
	}
}

// dice gives the same numbers each time.
type dice uint64

// roll returns a number from 0 up to n.
func (d *dice) roll(n int) int {
	*d = *d*6364136223846793005 + 1442695040888963407
	return int((uint64(*d) >> 33) % uint64(n))
}

// sample is a text that the expression may match.
func sample(random *dice, re *syntax.Regexp) string {
	repeat := func(least, most int) string {
		var b strings.Builder
		for range least + random.roll(most-least+1) {
			b.WriteString(sample(random, re.Sub[0]))
		}
		return b.String()
	}
	switch re.Op {
	case syntax.OpLiteral:
		text := string(re.Rune)
		if re.Flags&syntax.FoldCase != 0 && random.roll(2) == 0 {
			return strings.ToUpper(text)
		}
		return text
	case syntax.OpCharClass:
		i := 2 * random.roll(len(re.Rune)/2)
		return string(re.Rune[i] + rune(random.roll(int(min(re.Rune[i+1]-re.Rune[i], 200))+1)))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return string("ab/_-$ "[random.roll(7)])
	case syntax.OpCapture:
		return sample(random, re.Sub[0])
	case syntax.OpStar:
		return repeat(0, 3)
	case syntax.OpPlus:
		return repeat(1, 3)
	case syntax.OpQuest:
		return repeat(0, 1)
	case syntax.OpRepeat:
		return repeat(re.Min, max(re.Min, re.Max))
	case syntax.OpAlternate:
		return sample(random, re.Sub[random.roll(len(re.Sub))])
	case syntax.OpConcat:
		var b strings.Builder
		for _, sub := range re.Sub {
			b.WriteString(sample(random, sub))
		}
		return b.String()
	}
	return "" // what stands for a place in the text
}
