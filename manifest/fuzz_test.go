package manifest_test

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// fuzzLimits make the bounds reachable for short inputs.
func fuzzLimits() manifest.Limits {
	return manifest.Limits{DocumentBytes: 16 << 10, Documents: 50, Values: 4000, Depth: 50, AliasedNodes: 2000}
}

// FuzzRead: whatever the text, reading ends soon and without a panic, every
// position is a place in the text, and a document that kubectl's YAML library
// accepts too has the same values.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: b}]}\n",
		"apiVersion: v1\r\nkind: Pod\r\nmetadata:\r\n  name: a\r\n",
		"\ufeffapiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod}\n- 3\n",
		`{"apiVersion": "v1", "kind": "PodList", "items": [{"metadata": {"name": "a"}}]}`,
		"a: &a {b: 1}\nc: {<<: *a, d: [*a, *a]}\n",
		"a: &a [*a]\n",
		"a: yes\nb: 0o17\nc: 1e3\nd: 2001-01-01\ne: ~\nf: !!str 1\ng: \"\\u009b\"\nh: 0x1F\ni: 1_000\nj: 12:30\n",
		"1: 0o+0\n2: 0_o-7\n0o-1: a\n",
		"a: 'b\n---\nc: [\n...\nd: |\n  e\n   f\n",
		"? [a]\n: b\n\"x\ty\": 1\n1: 2\ntrue: 3\n",
		"a: !!binary aGk=\nb: >-\n  folded\n  text\nc: .inf\nd: -0\ne: 18446744073709551616\n",
	} {
		f.Add([]byte(seed))
	}
	kinds, err := txtar.ParseFile(filepath.Join("testdata", "kinds.txtar"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range kinds.Files {
		if filepath.Ext(file.Name) == ".yaml" {
			f.Add(file.Data)
		}
	}
	scheme := scheme(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		start := time.Now()
		batch := manifest.Read("f", bytes.NewReader(text), fuzzLimits())
		refs := scheme.Referred(batch.Objects)
		for _, o := range batch.Objects {
			workloads, _, err := scheme.Workloads(o, refs)
			if err != nil {
				batch.Errors = append(batch.Errors, err)
			}
			for _, w := range workloads {
				leaves(manifest.Path{}, w.Pod, func(at manifest.Path, _ any) { w.Source.Position(w.ObjectPath(at)) })
			}
		}
		if d := time.Since(start); d > 10*time.Second {
			t.Errorf("%d bytes took %s", len(text), d)
		}
		if exotic.Match(text) {
			return // YAML has line breaks that editors have not
		}
		lines := strings.Split(string(text), "\n")
		for _, e := range batch.Errors {
			if e.Line > 0 || e.Column > 0 {
				inside(t, lines, manifest.Position{Line: e.Line, Column: max(e.Column, 1)}, e.Error())
			}
			if e.Reason == "" || e.File != "f" {
				t.Errorf("error = %#v", e)
			}
		}
		for _, o := range append(batch.Objects, batch.Other...) {
			o = o.Whole()
			positions(t, lines, o, nil, o.Value)
		}
		if len(batch.Errors) == 0 && len(batch.Objects)+len(batch.Other) == 1 {
			sameAsKubectl(t, text, append(batch.Objects, batch.Other...)[0].Whole())
		}
	})
}

func inside(t *testing.T, lines []string, p manifest.Position, what string) {
	t.Helper()
	if p.Line < 1 || p.Line > len(lines) {
		t.Fatalf("%s: line %d of %d", what, p.Line, len(lines))
	}
	if n := len(lines[p.Line-1]); p.Column < 1 || p.Column > n+1 {
		t.Fatalf("%s: column %d of %d", what, p.Column, n)
	}
}

// positions checks the position of every value below v.
func positions(t *testing.T, lines []string, o *manifest.Object, at manifest.Path, v any) {
	t.Helper()
	p, ok := o.Position(at)
	if !ok && at.String() != "kind" && at.String() != "apiVersion" { // an entry of a typed list gets these two
		t.Fatalf("no position of %q", at.String())
	}
	inside(t, lines, p, at.String())
	if again, err := manifest.ParsePath(at.String()); err != nil || !cmp.Equal(manifest.Path(nil).Join(again...), manifest.Path(nil).Join(at...)) {
		t.Fatalf("path %q is read back as %q: %v", at.String(), again.String(), err)
	}
	switch x := v.(type) {
	case map[string]any:
		for k, child := range x {
			positions(t, lines, o, at.Join(k), child)
		}
	case []any:
		for i, child := range x {
			positions(t, lines, o, at.Join(i), child)
		}
	}
}

// exotic finds the line breaks of YAML besides "\n" and "\r\n".
var exotic = regexp.MustCompile("\r[^\n]|\r$|\u0085|\u2028|\u2029")

// differs finds what the two libraries read differently on purpose: several
// documents, of which kubectl's reads the first, and the tag `!`, which
// yaml.Node does not keep.
var differs = regexp.MustCompile(`---|\.\.\.|!(\s|$)`)

// sameAsKubectl holds the values against those of sigs.k8s.io/yaml, where it
// accepts the text as one document.
func sameAsKubectl(t *testing.T, text []byte, o *manifest.Object) {
	t.Helper()
	if differs.Match(text) {
		return
	}
	data, err := sigsyaml.YAMLToJSONStrict(text)
	if err != nil {
		return
	}
	var want map[string]any
	if err := utiljson.Unmarshal(data, &want); err != nil || want == nil {
		return
	}
	if kind, _ := want["kind"].(string); strings.HasSuffix(kind, "List") {
		return // Read returns its entries
	}
	if diff := cmp.Diff(withoutNulls(want), any(o.Value)); diff != "" {
		t.Errorf("kubectl reads other values (-kubectl +read):\n%s", diff)
	}
}

// withoutNulls drops fields that are null, as the API server does.
func withoutNulls(v any) any {
	switch x := v.(type) {
	case map[string]any:
		for k, child := range x {
			if child == nil {
				delete(x, k)
				continue
			}
			x[k] = withoutNulls(child)
		}
	case []any:
		for i := range x {
			x[i] = withoutNulls(x[i])
		}
	}
	return v
}
