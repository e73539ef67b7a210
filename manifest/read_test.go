package manifest_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

func read(text string) manifest.Batch {
	return manifest.Read("f.yaml", strings.NewReader(text), manifest.DefaultLimits())
}

// summary lists what a batch holds: Kind/name at line:column, then errors.
func summary(b manifest.Batch) []string {
	out := []string{}
	for _, o := range b.Objects {
		p, _ := o.Position(nil)
		out = append(out, fmt.Sprintf("%s/%s %d:%d", o.Kind, o.Name, p.Line, p.Column))
	}
	for _, o := range b.Other {
		p, _ := o.Position(nil)
		out = append(out, fmt.Sprintf("other %d:%d", p.Line, p.Column))
	}
	for _, e := range b.Errors {
		out = append(out, e.Error())
	}
	return out
}

func TestReadDocuments(t *testing.T) {
	pod := func(name string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\n"
	}
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", "", []string{}},
		{"comments, empty documents, nulls", "# a\n---\n---\n# b\n---\nnull\n...\n", []string{}},
		{"several", pod("a") + "---\n" + pod("b") + "--- # said\n" + pod("c"), []string{"Pod/a 1:1", "Pod/b 5:1", "Pod/c 9:1"}},
		{"an end marker and a directive", pod("a") + "...\n%YAML 1.1\n---\n" + pod("b"), []string{"Pod/a 1:1", "Pod/b 7:1"}},
		{"a per cent sign in a comment", "# 100%\n---\n" + pod("a"), []string{"Pod/a 3:1"}},
		{"text on the marker's line", "--- {apiVersion: v1, kind: Pod, metadata: {name: a}}\n", []string{"Pod/a 1:5"}},
		{"a marker inside a text is none", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  x: |\n    ---\n    y\n---\n" + pod("b"), []string{"ConfigMap/a 1:1", "Pod/b 9:1"}},
		{"CRLF", strings.ReplaceAll(pod("a")+"---\n"+pod("b"), "\n", "\r\n"), []string{"Pod/a 1:1", "Pod/b 5:1"}},
		{"a byte order mark", "\ufeff" + pod("a") + "---\n" + pod("b"), []string{"Pod/a 1:1", "Pod/b 5:1"}},
		{"no newline at the end", strings.TrimSpace(pod("a")), []string{"Pod/a 1:1"}},
		{"JSON", `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}`, []string{"Pod/a 1:1"}},
		{"JSON after JSON", "{\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"a\"}}\n---\n{\n\t\"apiVersion\": \"v1\", \"kind\": \"Pod\", \"metadata\": {\"name\": \"b\"}\n}\n", []string{"Pod/a 1:1", "Pod/b 3:1"}},
		{"a broken one between good ones", pod("a") + "---\nb: [\n---\n" + pod("c"), []string{"Pod/a 1:1", "Pod/c 7:1", "f.yaml:5:1: did not find expected node content"}},
		{"not an object", "3\n---\n- a\n---\na: 1\n", []string{"other 5:1", "f.yaml:1:1: document is a number, not an object", "f.yaml:3:1: document is a list, not an object"}},
		{"a List", "apiVersion: v1\nkind: List\nitems:\n- " + strings.ReplaceAll(pod("a"), "\n", "\n  ") + "\n- {apiVersion: apps/v1, kind: Deployment, metadata: {name: b}}\n", []string{"Pod/a 4:3", "Deployment/b 8:3"}},
		{"a typed list", "apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a}\n", []string{"Pod/a 4:3"}},
		{"an empty List", "apiVersion: v1\nkind: List\n", []string{}},
		{"a List with what is no object", "apiVersion: v1\nkind: List\nitems:\n- 3\n- {apiVersion: v1, kind: List, items: []}\n", []string{"f.yaml:4:3: items[0] is a number, not an object", "f.yaml:5:3: items[1] is a List in a List"}},
		{"a kind that only ends like one", "apiVersion: v1\nkind: AllowList\nmetadata: {name: a}\n", []string{"AllowList/a 1:1"}},
		{"a name that is no text", "apiVersion: v1\nkind: Pod\nmetadata:\n  name: 3\n", []string{"f.yaml:4:9: metadata.name is a number, not a string"}},
		{"a kind that is no text", "apiVersion: v1\nkind: yes\n", []string{"f.yaml:2:7: kind is a boolean, not a string"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, summary(read(tt.text))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadEndsWithAStreamThatBreaks(t *testing.T) {
	r := iotest.DataErrReader(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("apiVersion: v1\nkind: Pod\n"))))
	b := manifest.Read("f.yaml", r, manifest.DefaultLimits())
	if diff := cmp.Diff([]string{"f.yaml: reading: timeout"}, summary(b)); diff != "" {
		t.Error(diff)
	}
}

// The second document of a file, so that a position that forgets the first is
// another one.
const positioned = `first: document
---
apiVersion: v1
kind: Pod
metadata:
  name: a
  annotations: &notes
    "x/y.z": 'quoted'
    on: plain
  labels: *notes
spec:
  nodeSelector:
    <<: *notes
    own: v
  containers:
  - name: a
    args: [one, "two"]
    command:
    - |
      text
  - *second
`

func TestPosition(t *testing.T) {
	text := strings.Replace(positioned, "  - *second\n", "  - {name: b}\n", 1)
	b := read(text)
	if len(b.Objects) != 1 || len(b.Errors) != 0 {
		t.Fatalf("%v", summary(b))
	}
	o := b.Objects[0]
	for _, tt := range []struct {
		path  string
		at    manifest.Position
		there bool
	}{
		{"", manifest.Position{Line: 3, Column: 1}, true},
		{"metadata.name", manifest.Position{Line: 6, Column: 9}, true},
		{"metadata", manifest.Position{Line: 5, Column: 1}, true}, // a mapping: its key
		{`metadata.annotations["x/y.z"]`, manifest.Position{Line: 8, Column: 14}, true},
		{"metadata.annotations.true", manifest.Position{Line: 9, Column: 9}, true}, // the plain key `on`
		{"metadata.labels", manifest.Position{Line: 10, Column: 3}, true},
		{`metadata.labels["x/y.z"]`, manifest.Position{Line: 8, Column: 14}, true}, // through the alias
		{`spec.nodeSelector["x/y.z"]`, manifest.Position{Line: 8, Column: 14}, true},
		{"spec.nodeSelector.own", manifest.Position{Line: 14, Column: 10}, true},
		{"spec.containers[0]", manifest.Position{Line: 16, Column: 5}, true},
		{"spec.containers[0].args[1]", manifest.Position{Line: 17, Column: 17}, true},
		{"spec.containers[0].command[0]", manifest.Position{Line: 19, Column: 7}, true},
		{"spec.containers[1].name", manifest.Position{Line: 21, Column: 12}, true},
		// What is missing is looked for at its nearest parent.
		{"spec.containers[0].securityContext.privileged", manifest.Position{Line: 16, Column: 5}, false},
		{"spec.containers[7].name", manifest.Position{Line: 15, Column: 3}, false},
		{"spec.hostPID", manifest.Position{Line: 11, Column: 1}, false},
	} {
		path, err := manifest.ParsePath(tt.path)
		if err != nil {
			t.Fatal(err)
		}
		if at, there := o.Position(path); at != tt.at || there != tt.there {
			t.Errorf("%s: %v, %v; want %v, %v", tt.path, at, there, tt.at, tt.there)
		}
	}
}

func TestValuesAsTheAPIServerReadsThem(t *testing.T) {
	b := read(`
anchored: &a {x: 1, w: {z: 2}}
alias: *a
merged: {<<: *a, x: own}
removed: {<<: *a, w: null}
several: {<<: [{p: first}, {p: second, q: 3}]}
bool: [yes, Off, "yes", y]
numbers: [1, 1.5, 3.0, 0o17, 0x1F, 1_000]
texts: [12:30, 2001-01-01, !!str 1, '', !!binary aGk=]
dropped: null
kept: [null]
on: key
`)
	want := map[string]any{
		"anchored": map[string]any{"x": int64(1), "w": map[string]any{"z": int64(2)}},
		"alias":    map[string]any{"x": int64(1), "w": map[string]any{"z": int64(2)}},
		"merged":   map[string]any{"x": "own", "w": map[string]any{"z": int64(2)}},
		"removed":  map[string]any{"x": int64(1)},
		"several":  map[string]any{"p": "first", "q": int64(3)},
		"bool":     []any{true, false, "yes", true},
		"numbers":  []any{int64(1), 1.5, int64(3), int64(15), int64(31), int64(1000)},
		"texts":    []any{"12:30", "2001-01-01", "1", "", "hi"},
		"kept":     []any{nil},
		"true":     "key",
	}
	if len(b.Other) != 1 {
		t.Fatalf("%v", summary(b))
	}
	if diff := cmp.Diff(want, b.Other[0].Value); diff != "" {
		t.Error(diff)
	}
}

func TestWhatYAMLAllowsAndKubernetesDoesNot(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"a: 1\nb: 2\na: 3\n", `f.yaml:3:1: duplicate key "a", first on line 1`},
		{"on: 1\ntrue: 2\n", `f.yaml:2:1: duplicate key "true", first on line 1`},
		{"? [a]\n: b\n", "f.yaml:1:3: key of a mapping is not a string"},
		{"a: .nan\n", `f.yaml:1:4: ".nan" is not a number that JSON has`},
		{"a: !secret x\n", `f.yaml:1:4: unknown YAML tag "!secret"`},
		{"a: !!binary '*'\n", "f.yaml:1:4: !!binary is not text in base64"},
		{"a: {<<: 3}\n", "f.yaml:1:9: merge key << does not name a mapping"},
		{"a: {<<: {}, <<: {}}\n", "f.yaml:1:13: duplicate merge key <<"},
		{"a: *none\n", `f.yaml:1:1: unknown anchor 'none' referenced`},
	} {
		if diff := cmp.Diff([]string{tt.want}, summary(read(tt.text))); diff != "" {
			t.Errorf("%q: %s", tt.text, diff)
		}
	}
}

func TestLimits(t *testing.T) {
	limits := manifest.Limits{DocumentBytes: 64, Documents: 3, Values: 12, Depth: 4, AliasedNodes: 4}
	for _, tt := range []struct{ name, text, want string }{
		{"size", "a: " + strings.Repeat("x", 64) + "\n---\nb: 1\n", "f.yaml:1: document of 0 MiB; at most 0 MiB are read"},
		{"values", "a: [1,1,1,1,1,1,1,1,1,1,1,1]\n---\nb: 1\n", "f.yaml:1: document has more than 12 values"},
		{"depth", "a: [[[[1]]]]\n---\nb: 1\n", "f.yaml:1:8: nested deeper than 4 levels"},
		{"aliases", "a: &a [1, 2]\nb: [*a, *a]\n---\nb: 1\n", `f.yaml:2:9: aliases of anchor "a" expand to more than 4 values`},
		{"documents", "a: 1\n---\nb: 1\n---\nc: 1\n---\nd: 1\n", "f.yaml:6: more than 3 documents"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := manifest.Read("f.yaml", strings.NewReader(tt.text), limits)
			if len(b.Errors) != 1 || b.Errors[0].Error() != tt.want || b.Errors[0].Hint == "" {
				t.Errorf("errors %v, want %s and a hint", b.Errors, tt.want)
			}
			if len(b.Other) == 0 {
				t.Error("the other documents are not read")
			}
		})
	}
}
