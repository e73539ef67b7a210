package manifest_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestManyFiles: however many are read at once, objects and errors come in the
// order of the files, and all of them are counted.
func TestManyFiles(t *testing.T) {
	dir := t.TempDir()
	var objects, errors []string
	for i := range 1000 {
		name := fmt.Sprintf("p%04d", i)
		text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + name + "}\n" + strings.Repeat("# \n", 37*i%500)
		if i%10 == 3 {
			text += "---\na: [\n"
			errors = append(errors, name+".yaml")
		}
		objects = append(objects, name)
		write(t, filepath.Join(dir, fmt.Sprint(i/100), name+".yaml"), text)
	}
	var told []int
	set := manifest.Reader{
		Limits:   manifest.DefaultLimits(),
		Progress: func(done, all int) { told = append(told, done, all) },
	}.ReadAll(t.Context(), []string{dir})
	var gotObjects, gotErrors []string
	for _, o := range set.Objects {
		gotObjects = append(gotObjects, o.Name)
	}
	for _, e := range set.Errors {
		gotErrors = append(gotErrors, filepath.Base(e.File))
	}
	if diff := cmp.Diff(objects, gotObjects); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(errors, gotErrors); diff != "" {
		t.Error(diff)
	}
	if set.Files != 1000 || len(told) != 2*1001 || told[0] != 0 || told[len(told)-2] != 1000 {
		t.Errorf("%d files; told %d times, at last %v", set.Files, len(told)/2, told[len(told)-2:])
	}
}

func TestReadingIsInterrupted(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), "apiVersion: v1\nkind: ConfigMap\n")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	set := manifest.Reader{Limits: manifest.DefaultLimits()}.ReadAll(ctx, []string{dir})
	if len(set.Objects) != 0 || len(set.Errors) != 1 || !strings.Contains(set.Errors[0].Reason, "not read") {
		t.Errorf("%d objects, errors %v", len(set.Objects), set.Errors)
	}
}

// TestMemoryOfTheLargestDocument: the document that costs most of those that are
// accepted, and one of 100 MB that is not.
func TestMemoryOfTheLargestDocument(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: it takes a second and most of 1 GiB")
	}
	limits := manifest.DefaultLimits()
	var b strings.Builder
	b.WriteString("apiVersion: v1\nkind: ConfigMap\ndata:\n")
	for i := range limits.Values/2 - 2 {
		fmt.Fprintf(&b, "- k%d: v\n", i)
	}
	most := b.String()
	for _, tt := range []struct {
		name    string
		text    []io.Reader
		objects int
		reason  string
	}{
		{"the largest", []io.Reader{strings.NewReader(most)}, 1, ""},
		{"too many values", []io.Reader{strings.NewReader(most), strings.NewReader("- a: b\n- c: d\n")}, 0, "document has more than 800000 values"},
		{"100 MB", []io.Reader{strings.NewReader("apiVersion: v1\nkind: ConfigMap\ndata: "), io.LimitReader(letters{}, 100<<20), strings.NewReader("\n")}, 0, "document of 100 MiB; at most 32 MiB are read"},
	} {
		text := append(tt.text, strings.NewReader("---\napiVersion: v1\nkind: Last\n"))
		batch := manifest.Read(tt.name, io.MultiReader(text...), limits)
		reasons := ""
		for _, e := range batch.Errors {
			reasons += e.Reason
		}
		if len(batch.Objects) != tt.objects+1 || reasons != tt.reason {
			t.Errorf("%s: %d objects, errors %q", tt.name, len(batch.Objects), reasons)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	t.Logf("%d MiB from the system", m.Sys>>20)
	if m.Sys > 1<<30 {
		t.Errorf("%d MiB from the system, more than 1 GiB", m.Sys>>20)
	}
}

// letters is text without an end.
type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// TestUnits: charts and kustomizations are found, and taken as a whole; what
// another one includes is not taken twice.
func TestUnits(t *testing.T) {
	dir := t.TempDir()
	for path, text := range map[string]string{
		"app/Chart.yaml":                             "name: app\n",
		"app/templates/x.yaml":                       "{{ broken\n",
		"app/charts/sub/Chart.yaml":                  "name: sub\n",
		"k/base/kustomization.yaml":                  "resources: [a.yaml]\n",
		"k/base/a.yaml":                              "apiVersion: v1\nkind: ConfigMap\n",
		"k/component/kustomization.yaml":             "kind: Component\napiVersion: kustomize.config.k8s.io/v1alpha1\n",
		"k/overlays/prod/kustomization.yml":          "resources: [../../base]\ncomponents: [../../component]\n",
		"k/overlays/dev/Kustomization":               "bases: [../../base/]\n",
		"circle/a/kustomization.yaml":                "resources: [../b]\n",
		"circle/b/kustomization.yaml":                "resources: [../a]\n",
		"flux/kustomization.yaml":                    "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\n",
		"broken/kustomization.yaml":                  "a: [\n",
		"plain/Chart.yaml/a.yaml":                    "apiVersion: v1\nkind: ConfigMap\n",
		"packed.tgz":                                 "",
		"component-alone/kustomization.yaml":         "kind: Component\n",
		"component-alone/nested/kustomization.yaml":  "resources: []\n",
		"included-by-file/overlay/kustomization.yml": "resources: [../base/kustomization.yaml]\n",
	} {
		write(t, filepath.Join(dir, path), text)
	}
	var rendered []string
	read := func(paths ...string) manifest.Set {
		rendered = nil
		got := make(chan string, 100)
		set := manifest.Reader{
			Limits: manifest.DefaultLimits(),
			Render: func(_ context.Context, u manifest.Unit) manifest.Batch {
				rel, err := filepath.Rel(dir, u.Path)
				if err != nil {
					t.Error(err)
				}
				got <- string(u.Form) + " " + rel
				return manifest.Batch{Objects: []*manifest.Object{{File: rel}}}
			},
		}.ReadAll(t.Context(), paths)
		close(got)
		for _, o := range set.Objects {
			rendered = append(rendered, o.File)
		}
		return set
	}
	set := read(dir, filepath.Join(dir, "packed.tgz"))
	for _, e := range set.Errors {
		t.Error(e)
	}
	want := []string{
		"app", "broken", "circle/a",
		filepath.Join(dir, "flux/kustomization.yaml"), "included-by-file/overlay",
		"k/overlays/dev", "k/overlays/prod", filepath.Join(dir, "plain/Chart.yaml/a.yaml"), "packed.tgz",
	}
	if diff := cmp.Diff(want, rendered); diff != "" {
		t.Error(diff)
	}
	// Named by itself, a base is what is meant.
	read(filepath.Join(dir, "k/base"))
	if diff := cmp.Diff([]string{"k/base"}, rendered); diff != "" {
		t.Error(diff)
	}
	// Without a way to render, the files are taken as they stand.
	set = manifest.Reader{Limits: manifest.DefaultLimits()}.ReadAll(t.Context(), []string{filepath.Join(dir, "k/base")})
	if len(set.Objects) != 1 || set.Objects[0].Kind != "ConfigMap" {
		t.Errorf("%d objects", len(set.Objects))
	}
}

func TestStandardInputIsReadOnce(t *testing.T) {
	set := manifest.Reader{Limits: manifest.DefaultLimits(), Stdin: strings.NewReader("apiVersion: v1\nkind: ConfigMap\n")}.ReadAll(t.Context(), []string{"-", "-"})
	if len(set.Objects) != 1 || set.Objects[0].File != "<stdin>" || set.Files != 1 {
		t.Errorf("%d objects of %d files", len(set.Objects), set.Files)
	}
}
