package manifest_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// FuzzRewrite: whatever the text, rewriting is refused, or it loses and reorders
// nothing that it does not name: the other values are what they were, the other
// lines are there in their order, and rewriting again changes no byte.
func FuzzRewrite(f *testing.F) {
	for _, seed := range []string{
		"apiVersion: v1\nkind: Pod\nmetadata:\n  name: a # é\nspec:\n  containers:\n    - name: a\n      image: b\n",
		"{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, securityContext: {}}]}}",
		"{\r\n  \"apiVersion\": \"v1\",\r\n  \"kind\": \"Pod\",\r\n  \"spec\": {\r\n    \"containers\": [\r\n      {\r\n        \"name\": \"a\"\r\n      }\r\n    ]\r\n  }\r\n}\r\n",
		"apiVersion: v1\nkind: Pod\nspec: &s\n  containers: &c\n  - &d\n    name: a\n    securityContext: &e {runAsNonRoot: false}\n  initContainers: *c\n",
		"apiVersion: v1\nkind: Pod\nx: &b {securityContext: {a: 1}}\nspec:\n  containers:\n  - <<: *b\n    name: a\n    args:\n    - |+\n      x\n\n    - >-\n      y\n      z\n",
		"a: 1\n---\napiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: 'a''b'\n    securityContext:\n    # c\n    command: [\"a\\\"\", 'b', c d,\n      e]\n...\n---\n# end",
		"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  spec:\n    containers:\n    - securityContext: null\n- apiVersion: v1\n  kind: Pod\n  spec: {containers: [{name: b}]}\n",
		"\ufeffapiVersion: v1\nkind: Pod\nspec:\n  ? containers\n  : - name: a\n",
	} {
		f.Add([]byte(seed))
	}
	limits := manifest.DefaultLimits()
	f.Fuzz(func(t *testing.T, text []byte) {
		before := manifest.Read("a", bytes.NewReader(text), limits)
		var changes []manifest.Change
		for _, o := range before.Objects {
			for _, c := range []struct {
				at    manifest.Path
				value any
			}{
				{manifest.Path{"spec", "containers", 0, "securityContext", "runAsNonRoot"}, true},
				{manifest.Path{"spec", "containers", 0, "securityContext", "capabilities", "drop"}, []any{"ALL"}},
				{manifest.Path{"spec", "runtimeClassName"}, "gvisor"},
			} {
				if there, _ := manifest.Lookup(o.Whole().Value, c.at); !reflect.DeepEqual(there, c.value) {
					changes = append(changes, manifest.Change{Object: o, Path: c.at, Value: c.value, First: len(c.at) == 2})
				}
			}
		}
		out, refused := manifest.Rewrite(text, changes, limits)
		if len(refused) > 0 || len(changes) == 0 {
			if len(changes) == 0 && !bytes.Equal(out, text) {
				t.Fatal("nothing was to change")
			}
			return
		}
		after := manifest.Read("a", bytes.NewReader(out), limits)
		if len(after.Objects) != len(before.Objects) {
			t.Fatalf("%d objects were %d", len(after.Objects), len(before.Objects))
		}
		for i, o := range before.Objects {
			is := after.Objects[i].Whole().Value
			for key, v := range o.Whole().Value {
				if key != "spec" && !reflect.DeepEqual(v, is[key]) {
					t.Fatalf("%s was %v and is %v", key, v, is[key])
				}
			}
			for _, c := range changes {
				if got, _ := manifest.Lookup(is, c.Path); c.Object == o && !reflect.DeepEqual(got, c.Value) {
					t.Fatalf("%s is %v, not %v", c.Path, got, c.Value)
				}
			}
		}
		if lost := lostLines(text, out); lost > len(changes)*2 {
			t.Fatalf("%d lines are gone for %d changes:\n%s", lost, len(changes), out)
		}
		var again []manifest.Change
		for _, c := range changes {
			for i, o := range before.Objects {
				if c.Object == o {
					c.Object = after.Objects[i]
				}
			}
			if there, _ := manifest.Lookup(c.Object.Whole().Value, c.Path); !reflect.DeepEqual(there, c.Value) {
				again = append(again, c)
			}
		}
		if len(again) > 0 {
			t.Fatal("a change is to be made again")
		}
	})
}

// lostLines is how many lines of the old text are not in the new one, in their
// order.
func lostLines(before, after []byte) int {
	lost, now := 0, strings.Split(string(after), "\n")
	for _, line := range strings.Split(string(before), "\n") {
		found := false
		for j, other := range now {
			if strings.TrimSuffix(other, "\r") == strings.TrimSuffix(line, "\r") {
				now, found = now[j+1:], true
				break
			}
		}
		if !found {
			lost++
		}
	}
	return lost
}
