package harden_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/diff"
	"go.yaml.in/yaml/v3"
	psaapi "k8s.io/pod-security-admission/api"
	psa "k8s.io/pod-security-admission/policy"

	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/internal/harden"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// cases are the manifests of the corpus and of the examples, by name.
func cases(t *testing.T) map[string][]byte {
	t.Helper()
	globs := []string{filepath.Join("..", "..", "examples", "*", "*.yaml")}
	if root := os.Getenv("BULKHEAD_CORPUS"); root != "" {
		globs = append(globs, filepath.Join(root, "cases", "*.yaml"))
	} else {
		t.Log("BULKHEAD_CORPUS does not name a folder of manifests: the examples alone")
	}
	out := map[string][]byte{}
	for _, glob := range globs {
		paths, err := filepath.Glob(glob)
		if err != nil || len(paths) == 0 {
			t.Fatal(glob, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			out[filepath.Base(path)] = text
		}
	}
	return out
}

// judged is one text, decided and planned.
type judged struct {
	objects []*manifest.Object
	outcome decide.Outcome
	plans   []harden.Plan
}

func judge(t *testing.T, d *decide.Decider, name string, text []byte) judged {
	t.Helper()
	batch := manifest.Read(name, bytes.NewReader(text), manifest.DefaultLimits())
	out, err := d.Decide(batch.Objects)
	if err != nil {
		t.Fatal(name, err)
	}
	plans, err := harden.Plans(out, true)
	if err != nil {
		t.Fatal(err)
	}
	return judged{batch.Objects, out, plans}
}

func newDecider(t *testing.T) *decide.Decider {
	t.Helper()
	d, err := decide.New(config.Default(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// dressings write a manifest in other ways that mean the same.
func dressings() map[string]func(t *testing.T, text []byte) []byte {
	return map[string]func(t *testing.T, text []byte) []byte{
		"as it is": func(_ *testing.T, text []byte) []byte { return text },
		"CRLF": func(_ *testing.T, text []byte) []byte {
			return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
		},
		"without the last line feed": func(_ *testing.T, text []byte) []byte { return bytes.TrimRight(text, "\n") },
		"keys in another order, other indentation": func(t *testing.T, text []byte) []byte {
			return recoded(t, text, 4, func(n *yaml.Node) { reverseKeys(n) })
		},
		"flow style": func(t *testing.T, text []byte) []byte {
			return recoded(t, text, 2, func(n *yaml.Node) { n.Content[0].Style = yaml.FlowStyle })
		},
		"everything quoted": func(t *testing.T, text []byte) []byte {
			return recoded(t, text, 2, func(n *yaml.Node) { quote(n) })
		},
		"tabs in comments, long lines": func(t *testing.T, text []byte) []byte {
			return recoded(t, text, 2, func(n *yaml.Node) { comment(n, "# a\ttab\t"+strings.Repeat("long ", 400)) })
		},
		"anchors": func(t *testing.T, text []byte) []byte {
			return recoded(t, text, 2, func(n *yaml.Node) { anchor(n, new(int)) })
		},
	}
}

// recoded returns the documents after a change of their nodes.
func recoded(t *testing.T, text []byte, indent int, f func(*yaml.Node)) []byte {
	t.Helper()
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(indent)
	for {
		var n yaml.Node
		if err := dec.Decode(&n); err != nil {
			break
		}
		if n.Kind != yaml.DocumentNode || n.Content[0].Kind != yaml.MappingNode {
			continue
		}
		f(&n)
		if err := enc.Encode(&n); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func reverseKeys(n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		var out []*yaml.Node
		for i := len(n.Content) - 2; i >= 0; i -= 2 {
			out = append(out, n.Content[i], n.Content[i+1])
		}
		n.Content = out
	}
	for _, c := range n.Content {
		reverseKeys(c)
	}
}

func quote(n *yaml.Node) {
	if n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str" && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		n.Style = yaml.DoubleQuotedStyle
		if len(n.Value)%2 == 0 {
			n.Style = yaml.SingleQuotedStyle
		}
	}
	for _, c := range n.Content {
		quote(c)
	}
}

func comment(n *yaml.Node, text string) {
	if n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 && len(n.Value)%7 == 0 {
		n.LineComment = text
	}
	for _, c := range n.Content {
		comment(c, text)
	}
}

// anchor puts an anchor on every mapping and list; nothing refers to them.
func anchor(n *yaml.Node, k *int) {
	if (n.Kind == yaml.MappingNode || n.Kind == yaml.SequenceNode) && n.Anchor == "" {
		*k++
		n.Anchor = fmt.Sprintf("a%d", *k)
	}
	for _, c := range n.Content {
		anchor(c, k)
	}
}

// TestCorpusIsRewrittenSafely: whatever the manifests look like, only the lines of
// changed fields differ, values differ only where a change says so, and rewriting
// what was rewritten changes no byte.
func TestCorpusIsRewrittenSafely(t *testing.T) {
	all := cases(t)
	for style, dress := range dressings() {
		t.Run(style, func(t *testing.T) {
			t.Parallel()
			d := newDecider(t)
			changes, refusals := 0, map[string]int{}
			for _, name := range slices.Sorted(maps.Keys(all)) {
				text := dress(t, all[name])
				was := judge(t, d, name, text)
				edits := harden.Edits(was.plans)[name]
				out, refused := manifest.Rewrite(text, edits, manifest.DefaultLimits())
				for _, r := range refused {
					refusals[r.Reason]++
				}
				changes += len(edits)
				onlyChangedLines(t, name, text, out, edits)
				onlyChangedValues(t, name, was.objects, out, edits)
				again := judge(t, d, name, out)
				twice, _ := manifest.Rewrite(out, harden.Edits(again.plans)[name], manifest.DefaultLimits())
				if !bytes.Equal(twice, out) {
					t.Errorf("%s: rewriting twice changes more, %d fields", name, len(harden.Edits(again.plans)[name]))
				}
			}
			if changes < 3*len(all) {
				t.Errorf("%d changes: the corpus or the rules are not what they were", changes)
			}
			t.Logf("%d changes; refused: %v", changes, refusals)
		})
	}
}

// onlyChangedLines: of the old lines only those are gone on which a changed field
// stood, or to which something was added.
func onlyChangedLines(t *testing.T, name string, before, after []byte, changes []manifest.Change) {
	t.Helper()
	touched := map[int]bool{}
	for _, c := range changes {
		if _, there := manifest.Lookup(c.Object.Whole().Value, c.Path); there {
			at, _ := c.Object.Position(c.Path)
			touched[at.Line] = true
		}
	}
	number := 0
	var gone []string
	var added strings.Builder
	judge := func() {
		for _, line := range gone {
			if !isSubsequence(strings.TrimRight(strings.NewReplacer("{}", "", "[]", "").Replace(line), " \r"), added.String()) {
				t.Errorf("%s:%d: a line is gone that was not to change: %.200s", name, number, line)
			}
		}
		gone = nil
		added.Reset()
	}
	for line := range strings.Lines(string(diff.Diff("a", before, "b", after))) {
		switch text := strings.TrimSuffix(line, "\n"); {
		case strings.HasPrefix(line, "---"), strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "diff "), strings.HasPrefix(line, "\\"):
		case strings.HasPrefix(line, "@@"):
			judge()
			if _, err := fmt.Sscanf(line, "@@ -%d", &number); err != nil {
				t.Fatal(line, err)
			}
		case line[0] == '-':
			if !touched[number] {
				gone = append(gone, text[1:])
			}
			number++
		case line[0] == '+':
			added.WriteString(text[1:])
		default:
			number++
		}
	}
	judge()
}

func isSubsequence(part, whole string) bool {
	for i := range len(whole) {
		if part == "" {
			return true
		}
		if whole[i] == part[0] {
			part = part[1:]
		}
	}
	return part == ""
}

// onlyChangedValues compares the objects field by field.
func onlyChangedValues(t *testing.T, name string, before []*manifest.Object, text []byte, changes []manifest.Change) {
	t.Helper()
	after := manifest.Read(name, bytes.NewReader(text), manifest.DefaultLimits()).Objects
	if len(after) != len(before) {
		t.Errorf("%s: %d objects were %d", name, len(after), len(before))
		return
	}
	for i, o := range before {
		var meant []string
		for _, c := range changes {
			if c.Object == o || c.Object.Whole().Name == o.Name && c.Object.Kind == o.Kind {
				meant = append(meant, c.Path.String())
			}
		}
		old, now := flat(o.Whole().Value), flat(after[i].Whole().Value)
		for _, path := range slices.Concat(slices.Collect(maps.Keys(old)), slices.Collect(maps.Keys(now))) {
			if !reflect.DeepEqual(old[path], now[path]) && !slices.ContainsFunc(meant, func(m string) bool {
				return strings.HasPrefix(path, m) || strings.HasPrefix(m, strings.TrimSuffix(path, "{}"))
			}) {
				t.Errorf("%s: %s/%s: %s was %v and is %v", name, o.Kind, o.Name, path, old[path], now[path])
			}
		}
	}
}

func flat(v any) map[string]any {
	out := map[string]any{}
	var walk func(at manifest.Path, v any)
	walk = func(at manifest.Path, v any) {
		switch x := v.(type) {
		case map[string]any:
			if len(x) == 0 {
				out[at.String()+"{}"] = true
			}
			for k, item := range x {
				walk(at.Join(k), item)
			}
		case []any:
			for i, item := range x {
				walk(at.Join(i), item)
			}
		default:
			out[at.String()] = v
		}
	}
	walk(nil, v)
	return out
}

// TestWhatTheAPIRefusesTogether: a container that is privileged, or has SYS_ADMIN,
// cannot be one that gains no privileges.
func TestWhatTheAPIRefusesTogether(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {bulkhead.dev/risk-class: code-execution}}\nspec:\n  containers:\n    - name: a\n      image: b\n      securityContext: %s\n"
	for context, want := range map[string]bool{
		"{privileged: true}":                        false,
		"{capabilities: {add: [SYS_ADMIN]}}":        false,
		"{capabilities: {add: [NET_BIND_SERVICE]}}": true,
		"{privileged: false}":                       true,
	} {
		text := []byte(fmt.Sprintf(pod, context))
		out, refused := manifest.Rewrite(text, harden.Edits(judge(t, newDecider(t), "a", text).plans)["a"], manifest.DefaultLimits())
		if got := bytes.Contains(out, []byte("allowPrivilegeEscalation: false")); got != want || len(refused) > 0 {
			t.Errorf("%s: allowPrivilegeEscalation: false is written: %v, want %v; refused: %v\n%s", context, got, want, refused, out)
		}
	}
}

// TestHardenedCorpus: what was rewritten passes `check` but for what only a person
// can decide, and Pod Security "restricted" but where a finding says why not.
func TestHardenedCorpus(t *testing.T) {
	d := newDecider(t)
	checks, err := psa.NewEvaluator(psa.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := psaapi.LevelVersion{Level: psaapi.LevelRestricted, Version: psaapi.LatestVersion()}
	pods, before, accepted, explained := 0, 0, 0, 0
	all := cases(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		was := judge(t, d, name, all[name])
		out, refused := manifest.Rewrite(all[name], harden.Edits(was.plans)[name], manifest.DefaultLimits())
		is := judge(t, d, name, out)
		for i, dec := range is.outcome.Decisions {
			kept := len(refused) > 0 || slices.ContainsFunc(is.plans, func(p harden.Plan) bool { return p.Decision.Workload == dec.Workload && p.Kept != "" })
			for _, f := range dec.Row.Findings {
				if f.Patched && f.Counts() && !kept {
					t.Errorf("%s:%d: %s/%s: %s stays, and it has a patch: %s", name, f.Line, dec.Row.Kind, dec.Row.Name, f.Rule, f.Message)
				}
			}
			for k, w := range dec.Pods {
				if w.Source != dec.Workload.Object || w.Bare != "" {
					continue
				}
				pods++
				if admits(t, checks, restricted, was.outcome.Decisions[i].Pods[k]) == "" {
					before++
				}
				why := admits(t, checks, restricted, w)
				switch {
				case why == "":
					accepted++
				case kept:
					explained++
					t.Logf("%s: %s/%s is kept", name, dec.Row.Kind, dec.Row.Name)
				case says(dec, why):
					explained++
					t.Logf("%s: %s/%s: %s", name, dec.Row.Kind, dec.Row.Name, why)
				default:
					t.Errorf("%s: %s/%s is refused, and nothing says why: %s", name, dec.Row.Kind, dec.Row.Name, why)
				}
			}
		}
	}
	t.Logf("Pod Security restricted: of %d pods %d were accepted before, %d are after, %d are explained by a finding", pods, before, accepted, explained)
	if accepted <= before || accepted*10 < pods*7 {
		t.Errorf("%d of %d are accepted", accepted, pods)
	}
}

func admits(t *testing.T, checks psa.Evaluator, level psaapi.LevelVersion, w *manifest.Workload) string {
	t.Helper()
	pod, err := w.TypedPod()
	if err != nil {
		t.Fatal(err)
	}
	var why []string
	for _, r := range checks.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec) {
		if !r.Allowed {
			why = append(why, r.ForbiddenReason+": "+r.ForbiddenDetail)
		}
	}
	return strings.Join(why, "; ")
}

// says reports whether a finding says what the API server refuses.
func says(d decide.Decision, why string) bool {
	for control, rule := range map[string]string{
		"privileged: ": "privileged", `volume type "hostPath"`: "host-path", "host namespaces: ": "host-namespaces",
		"hostPort: ": "host-port", "must not include": "added-capabilities",
	} {
		if strings.Contains(why, control) && slices.ContainsFunc(d.Row.Findings, func(f report.Finding) bool { return f.Rule == rule }) {
			return true
		}
	}
	return false
}
