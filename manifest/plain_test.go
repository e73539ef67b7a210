package manifest

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// plainDocuments are read without the library; each is a whole document.
func plainDocuments() []string {
	return []string{
		"a: b\n",
		"---\n# c\na: b # c\n\nb: 1\nc: 1.5\nd: true\ne: on\nf: \"x: y # z\"\ng: 'it'\nh: -1\ni: 0x10\nj: 2026-11-24\nk: no-thing\n",
		"a:\n  b:\n    c: d\n  e: f\ng: h\n",
		"a:\n- b\n- c: d\n  e: f\n-   g: h\n    i: j\nk: l\n",
		"a:\n  - b\n  -\n    c: d\n  # c\n  - e\nf:\n  - 1\n",
		"a: []\nb: {}\nz: [--l=:80, x:y]\nc: [a, 1, \"b c\", 'd', -g, daemon off;]\nd: {a: b, c: [d, {e: f}]}\n",
		"a: |\n  b\n   c\n\n  d # e\n\nf: |-\n  g\n  # h\n",
		"- a\n", // no mapping: the library's
		"a:\n  - |\n    b\n  - c\n\"d/e\": f\n'g': h\nkubernetes.io/name: x\n",
		"a: b c  d\ne: --f=g\nh: /x:y\ni: http://x:1/y#z\nj: a'b\"c\n",
	}
}

// byLibrary reads a document with the YAML library alone.
func byLibrary(doc document) Batch {
	r := reading{file: "f", limits: DefaultLimits(), large: &sync.Mutex{}, names: &names{seen: map[string]string{}}}
	r.decodeDocument(doc)
	return r.Batch
}

// comparePlain reads a document both ways; plain reports whether it was plain.
func comparePlain(t *testing.T, text string) (plain bool) {
	t.Helper()
	doc := document{text: []byte(text), line: 7}
	m, marks, ok := readPlain(doc, &names{seen: map[string]string{}}, DefaultLimits())
	if !ok {
		return false
	}
	want := byLibrary(doc)
	objects := append(want.Objects, want.Other...)
	if len(want.Errors) > 0 && len(objects) == 0 && strings.Contains(want.Errors[0].Reason, "not a string") {
		return true // a field of the object, not of the document
	}
	if len(objects) != 1 && m["kind"] != "List" && m["items"] == nil || len(want.Errors) > 0 && m["items"] == nil {
		t.Fatalf("read as plain, and the library says %d objects, %v\n%s", len(objects), want.Errors, text)
	}
	if len(objects) == 0 {
		return true
	}
	if m["items"] != nil {
		return true // opened: its items are compared by themselves
	}
	if diff := cmp.Diff(objects[0].Value, m); diff != "" {
		t.Fatalf("values (-library +plain):\n%s\n%s", diff, text)
	}
	if diff := cmp.Diff(objects[0].marks, marks, cmp.AllowUnexported(mark{})); diff != "" {
		t.Fatalf("positions (-library +plain):\n%s\n%s", diff, text)
	}
	return true
}

func TestPlainDocuments(t *testing.T) {
	for _, text := range plainDocuments() {
		if plain, want := comparePlain(t, text), !strings.HasPrefix(text, "- "); plain != want {
			t.Errorf("read as plain: %t, want %t\n%s", plain, want, text)
		}
	}
}

// TestObvious: what is resolved without the library is what the library says,
// and what manifests have most of is.
func TestObvious(t *testing.T) {
	starts := []string{"0", "1", "12", "250", "9223372036854775807", "9223372036854775808", "-", "--", "-1", "-a", "-0x1", "t", "no", "true", "True", "y", "Y", "on", "N", "false", "off", "null", "NULL", "tmp", "token", "nginx:1", "yes-no", "0x1", "0o7", "0b1"}
	ends := []string{"", "m", "Mi", "G", "k", "s", "e3", "E", "E1", "_0", ".", ".5", "-01-01", ":30", "x1", "o-1", "b1", " 1", "i", "=1"}
	for _, start := range starts {
		for _, end := range ends {
			s := start + end
			got, ok := obvious(s)
			want, err := scalar(&yaml.Node{Kind: yaml.ScalarNode, Value: s})
			if ok && (err != nil || got != want) {
				t.Errorf("%s: %#v, the library says %#v (%v)", s, got, want, err)
			}
		}
	}
	for _, s := range []string{"8080", "0", "250m", "256Mi", "--listen=:80", "-c", "tmp", "name", "nginx:1"} {
		if _, ok := obvious(s); !ok {
			t.Errorf("%s is asked of the library", s)
		}
	}
}

// TestPlainIsUsual: real manifests are read without the library, or reading them
// fast is for nothing.
func TestPlainIsUsual(t *testing.T) {
	files, err := filepath.Glob("../examples/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	if corpus := os.Getenv("BULKHEAD_CORPUS"); corpus != "" {
		more, err := filepath.Glob(filepath.Join(corpus, "cases", "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	plain, all := 0, 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range strings.Split(string(text), "\n---\n") {
			all++
			if comparePlain(t, doc+"\n") {
				plain++
			}
		}
	}
	t.Logf("%d of %d documents are plain", plain, all)
	if plain*2 < all {
		t.Errorf("only %d of %d documents are plain", plain, all)
	}
}

// FuzzPlainDocument: what is read as plain has the values and the positions that the
// library finds.
func FuzzPlainDocument(f *testing.F) {
	for _, text := range plainDocuments() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) < 1<<12 {
			comparePlain(t, text)
		}
	})
}

// TestFits: the quick answer is yes exactly where the slow one finds nothing.
func TestFits(t *testing.T) {
	types := newTypeChecker()
	for spec, want := range map[string]bool{
		"containers: [{name: a, image: b, ports: [{containerPort: 80}], resources: {limits: {cpu: 1}}}]\n": true,
		"containers: [{name: a, livenessProbe: {httpGet: {port: http}, periodSeconds: 1.0}}]\n":            true,
		"nodeSelector: {a: b}\nvolumes: [{name: a, emptyDir: {}}]\n":                                       true,
		"containers: [{name: 1}]\n":                         false,
		"containers: {name: a}\n":                           false,
		"containers: [a]\n":                                 false,
		"containers: [{name: a, image: {}}]\n":              false,
		"containers: [{name: a, nosuch: b}]\n":              false,
		"containers: [{name: a, env: [{nosuch: b}]}]\n":     false,
		"nodeSelector: {a: 1}\n":                            false,
		"nodeSelector: [a]\n":                               false,
		"terminationGracePeriodSeconds: 1.5\n":              false,
		"containers: [{resources: {limits: {cpu: [1]}}}]\n": false,
		"hostNetwork: \"true\"\n":                           false,
	} {
		value := byLibrary(document{text: []byte(spec), line: 1}).Other[0].Value
		var unknown []Path
		clean := find(value, types.podSpec, nil, &unknown) == nil && len(unknown) == 0
		if fits := types.podSpec.fits(value); fits != want || clean != want {
			t.Errorf("%s fits: %t, nothing found: %t, want %t", spec, fits, clean, want)
		}
	}
}

// TestLean: of a workload only names and text are kept, and it reads again as it
// was, wherever in the file it stands. What others may ask of is kept whole.
func TestLean(t *testing.T) {
	const text = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: c}\ndata: {a: b}\n---\n" +
		"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: d\n  namespace: ns\nspec:\n  template:\n    spec:\n      containers: [{name: a}]\n---\n" +
		"apiVersion: v1\nkind: List\nitems:\n  - apiVersion: v1\n    kind: Pod\n    metadata: {name: p}\n    spec: {containers: [{name: b}]}\n"
	b := Read("f", strings.NewReader(text), DefaultLimits())
	if len(b.Errors) > 0 || len(b.Objects) != 3 {
		t.Fatalf("%d objects, %v", len(b.Objects), b.Errors)
	}
	for i, lean := range []bool{false, true, true} {
		o := b.Objects[i]
		if (o.Value == nil) != lean {
			t.Errorf("%s: value %v, lean %t", o.Kind, o.Value, lean)
		}
		if whole := o.Whole(); whole.Value["kind"] != o.Kind || whole.Name != o.Name {
			t.Errorf("%s reads again as %v", o.Kind, whole.Value)
		}
	}
	d := b.Objects[1]
	if d.Name != "d" || d.Namespace != "ns" {
		t.Errorf("names %q, %q", d.Namespace, d.Name)
	}
	for path, want := range map[string]Position{"": {6, 1}, "metadata.name": {9, 9}, "spec.template.spec.containers[0].name": {14, 27}} {
		p, err := ParsePath(path)
		if err != nil {
			t.Fatal(err)
		}
		if at, ok := d.Position(p); at != want || !ok {
			t.Errorf("%s is at %v (%t), want %v", path, at, ok, want)
		}
	}
}
