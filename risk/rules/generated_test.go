package rules

import (
	"archive/zip"
	"bytes"
	"flag"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/internal/gosource"
)

var update = flag.Bool("update", false, "write the generated files anew")

// TestGenerated writes (-update) or compares what is generated from the rules.
func TestGenerated(t *testing.T) {
	c, err := Source()
	if err != nil {
		t.Fatal(err)
	}
	var page bytes.Buffer
	if err := c.WriteMarkdown(&page); err != nil {
		t.Fatal(err)
	}
	source, err := gosource.Function("rules", "generated", *c, "Rule.Cases")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"../../docs/rules.md": page.Bytes(), "catalogue.go": source, "checked.zip": zipChecked(t, c)} {
		if *update {
			if err := os.WriteFile(name, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "checked.zip" {
			if !bytes.Equal(want, got) {
				t.Errorf("%s is stale: run `make generate`", name)
			}
			continue
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s is stale: run `make generate` (-rules +file)\n%s", name, diff)
		}
	}
}

// TestBuiltinIsTheSource: the generated form loses nothing but the cases.
func TestBuiltinIsTheSource(t *testing.T) {
	want, err := Source()
	if err != nil {
		t.Fatal(err)
	}
	for i := range want.Rules {
		want.Rules[i].Cases = Cases{}
	}
	if diff := cmp.Diff(want, Builtin()); diff != "" {
		t.Errorf("-source +builtin:\n%s", diff)
	}
}

// zipChecked checks every expression of the catalogue.
func zipChecked(t *testing.T, c *Catalogue) []byte {
	t.Helper()
	e, err := newEvaluator(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	entries := map[string][]byte{}
	add := func(env, expr string) {
		ast, err := e.compile(env, expr)
		if err != nil {
			t.Fatal(err)
		}
		if entries[checkedName(env, expr)], err = marshalChecked(ast); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range expressions(c) {
		add(x[0], x[1])
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, name := range slices.Sorted(maps.Keys(entries)) {
		f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(entries[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// expressions are all of the catalogue, with the environment of each.
func expressions(c *Catalogue) [][2]string {
	var out [][2]string
	for _, v := range c.Variables {
		out = append(out, [2]string{ruleEnv, v.Expression})
	}
	for i := range c.Rules {
		r := &c.Rules[i]
		if r.Scope != ScopePod {
			continue
		}
		out = append(out, [2]string{ruleEnv, r.Expression()})
		for _, a := range r.Any {
			if len(a.Command) == 0 {
				_, when, absent := a.general()
				out = append(out, [2]string{elementEnv, when}, [2]string{elementEnv, absent})
			}
		}
	}
	return out
}

// TestCheckedFormsAreUsed: every expression is found in its checked form, which
// says the same as one that is compiled now on every pod of every rule's cases.
func TestCheckedFormsAreUsed(t *testing.T) {
	c, err := Source()
	if err != nil {
		t.Fatal(err)
	}
	known := &checked{}
	for _, x := range expressions(c) {
		if _, ok := known.find(x[0], x[1]); !ok {
			t.Errorf("no checked form of %s %q: run `make generate`", x[0], x[1])
		}
	}
	loaded, err := newEvaluator(c, known)
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := newEvaluator(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Rules {
		for _, ex := range Examples(&c.Rules[i]) {
			pod, same := loaded.Pod(ex.Pod), compiled.Pod(ex.Pod)
			for k := range c.Rules {
				if c.Rules[k].Scope != ScopePod {
					continue
				}
				got, err1 := pod.evaluate(&c.Rules[k])
				want, err2 := same.evaluate(&c.Rules[k])
				if got != want || err1 != nil || err2 != nil {
					t.Errorf("%s on %s/%s: loaded %t, compiled %t (%v, %v)", c.Rules[k].ID, c.Rules[i].ID, ex.Name, got, want, err1, err2)
				}
			}
		}
	}
}
