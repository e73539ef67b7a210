package harden_test

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/bulkhead-dev/bulkhead/internal/harden"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// build builds a kustomization with kustomize's own library.
func build(t *testing.T, dir string) []*manifest.Object {
	t.Helper()
	out, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		t.Fatalf("%s: %v", dir, err)
	}
	text, err := out.AsYaml()
	if err != nil {
		t.Fatal(err)
	}
	return manifest.Read(dir, bytes.NewReader(text), manifest.DefaultLimits()).Objects
}

func write(t *testing.T, dir string, files ...harden.File) {
	t.Helper()
	for _, f := range files {
		path := filepath.Join(dir, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type identity struct{ version, kind, namespace, name string }

func identities(objects []*manifest.Object) map[identity]map[string]any {
	out := map[identity]map[string]any{}
	for _, o := range objects {
		out[identity{o.APIVersion, o.Kind, o.Namespace, o.Name}] = o.Whole().Value
	}
	return out
}

// TestOverlayIsTheRewrite: what kustomize makes of a manifest and its overlay is what
// rewriting the manifest comes to, for the examples and the corpus. Where kustomize
// without any patch writes an object otherwise than it stands there (it has trouble
// with folded text), that object with the changes is what is compared.
func TestOverlayIsTheRewrite(t *testing.T) {
	d := newDecider(t)
	all := cases(t)
	objects, patched, other := 0, 0, 0
	for _, name := range slices.Sorted(maps.Keys(all)) {
		was := judge(t, d, name, all[name])
		if len(was.objects) == 0 {
			continue // no manifest
		}
		text, refused := manifest.Rewrite(all[name], harden.Edits(was.plans)[name], manifest.DefaultLimits())
		if len(refused) > 0 {
			t.Fatal(name, refused)
		}
		want := identities(manifest.Read(name, bytes.NewReader(text), manifest.DefaultLimits()).Objects)
		files, err := harden.Overlay{Resources: []string{name}, Plans: was.plans}.Files()
		if err != nil {
			t.Fatal(name, err)
		}
		dir := t.TempDir()
		source := harden.File{Path: name, Text: all[name]}
		write(t, dir, source, harden.File{Path: harden.KustomizationFile, Text: []byte("resources: [" + name + "]\n")})
		alone := identities(build(t, dir))
		for _, o := range was.objects {
			id := identity{o.APIVersion, o.Kind, o.Namespace, o.Name}
			if value := alone[id]; value != nil && !harden.Same(o.Whole().Value, value) {
				other++
				want[id] = changed(t, value, o, was.plans)
			}
		}
		write(t, dir, append(files, source)...)
		if diff := different(want, identities(build(t, dir))); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		objects += len(want)
		patched += len(files) - 1
	}
	t.Logf("%d objects, %d patches; %d objects are written otherwise by kustomize alone", objects, patched, other)
	if patched < len(all)/2 || other*50 > objects {
		t.Error("the corpus, the rules or kustomize are not what they were")
	}
}

// changed is what kustomize made of an object, with the changes that were planned.
func changed(t *testing.T, value map[string]any, o *manifest.Object, plans []harden.Plan) map[string]any {
	t.Helper()
	var changes []manifest.Change
	for _, p := range plans {
		for _, c := range p.Changes {
			if c.Object == o && p.Kept == "" {
				changes = append(changes, c.Change)
			}
		}
	}
	out, err := manifest.Changed(&manifest.Object{Value: value}, changes)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func different(want, got map[identity]map[string]any) string {
	for id, w := range want {
		if g, ok := got[id]; !ok || !harden.Same(w, g) {
			return id.kind + "/" + id.name + "\n" + cmp.Diff(w, g)
		}
	}
	if len(want) != len(got) {
		return "other objects"
	}
	return ""
}

// TestOverlayOfOddNames: a name is no pattern, no path and no YAML, and a patch whose
// object is gone, or has other containers by now, fails the build.
func TestOverlayOfOddNames(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: %q\n  labels: {bulkhead.dev/risk-class: code-execution}\nspec:\n  containers:\n    - {name: %q, image: a}\n"
	d := newDecider(t)
	for _, name := range []string{"a.b", "a", ".*", "../../etc/passwd", "a\nb: c", "[", "x # y", strings.Repeat("n", 300), "null", "-"} {
		text := []byte(fmt.Sprintf(pod, name, "c") + "---\n" + fmt.Sprintf(pod, "axb", "c"))
		was := judge(t, d, "in.yaml", text)
		files, err := harden.Overlay{Resources: []string{"in.yaml"}, Plans: was.plans, Said: []string{"a\nb: c"}}.Files()
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		write(t, dir, append(files, harden.File{Path: "in.yaml", Text: text})...)
		for _, f := range files {
			if !harden.IsMarked(f.Text) || filepath.Base(f.Path) != f.Path {
				t.Errorf("%q: %s is not marked, or lies elsewhere", name, f.Path)
			}
		}
		got := identities(build(t, dir))
		for _, p := range was.plans {
			o, err := p.Edited()
			if err != nil {
				t.Fatal(err)
			}
			if !harden.Same(o.Value, got[identity{o.APIVersion, o.Kind, o.Namespace, o.Name}]) {
				t.Errorf("%q: %s is not what was meant", name, o.Name)
			}
		}
		for what, other := range map[string]string{"gone": fmt.Sprintf(pod, "axb", "c"), "other containers": fmt.Sprintf(pod, name, "z") + "---\n" + fmt.Sprintf(pod, "axb", "c")} {
			write(t, dir, harden.File{Path: "in.yaml", Text: []byte(other)})
			if _, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir); err == nil {
				t.Errorf("%q: %s, and it builds", name, what)
			}
		}
	}
}

// TestMarks: a file that was edited is not Bulkhead's any more.
func TestMarks(t *testing.T) {
	marked := harden.Mark([]byte("a: 1\n"))
	crlf := bytes.ReplaceAll(marked, []byte("\n"), []byte("\r\n"))
	if !harden.IsMarked(marked) || !harden.IsMarked(crlf) || harden.IsMarked(append(marked, '#')) || harden.IsMarked([]byte("a: 1\n")) || harden.IsMarked(nil) {
		t.Errorf("%s", marked)
	}
}
