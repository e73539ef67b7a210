package manifest

import (
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// asWhole reads a document as a whole.
func asWhole(doc document) Batch {
	b := &reading{file: "f", limits: DefaultLimits(), large: &sync.Mutex{}, names: &names{}}
	b.document(doc)
	return b.Batch
}

// compareList holds a List that is read item by item to the same as a whole, and
// reports whether it was.
func compareList(t *testing.T, text string) bool {
	t.Helper()
	doc := document{text: []byte(text), line: 7}
	b := &reading{file: "f", limits: DefaultLimits(), large: &sync.Mutex{}, names: &names{}}
	if !b.asList(doc) {
		if len(b.Objects)+len(b.Other)+len(b.Errors) > 0 {
			t.Errorf("%q: left to be read as a whole, with %d objects", text, len(b.Objects))
		}
		return false
	}
	want := asWhole(doc)
	if len(want.Errors) > 0 || len(want.Objects) != len(b.Objects) || len(want.Other) != len(b.Other) {
		t.Fatalf("%q: %d objects, %d others; as a whole %d, %d, %v", text, len(b.Objects), len(b.Other), len(want.Objects), len(want.Other), want.Errors)
	}
	for i, o := range append(b.Objects, b.Other...) {
		sameObject(t, text, o, append(want.Objects, want.Other...)[i])
	}
	return true
}

func sameObject(t *testing.T, text string, got, want *Object) {
	t.Helper()
	got, want = got.Whole(), want.Whole()
	if diff := cmp.Diff(want.Value, got.Value); diff != "" {
		t.Errorf("%q: value (- as a whole, + item by item)\n%s", text, diff)
	}
	if got.Kind != want.Kind || got.APIVersion != want.APIVersion || got.Name != want.Name || got.Namespace != want.Namespace {
		t.Errorf("%q: %s %s %s/%s, want %s %s %s/%s", text, got.APIVersion, got.Kind, got.Namespace, got.Name, want.APIVersion, want.Kind, want.Namespace, want.Name)
	}
	var walk func(at Path, v any)
	walk = func(at Path, v any) {
		p, ok := got.Position(at)
		if q, there := want.Position(at); p != q || ok != there {
			t.Errorf("%q: %s is at %v (%t), want %v (%t)", text, at, p, ok, q, there)
		}
		switch x := v.(type) {
		case map[string]any:
			for k, e := range x {
				walk(at.Join(k), e)
			}
		case []any:
			for i, e := range x {
				walk(at.Join(i), e)
			}
		}
	}
	walk(Path{}, want.Value)
}

const listedPod = "apiVersion: v1\n  kind: Pod\n  metadata: {name: a, namespace: ns}\n  spec:\n    containers:\n    - name: c\n      args: [x, \"y\"]\n"

// lists are those whose items are read one by one.
func lists() []string {
	return []string{
		"apiVersion: v1\nitems:\n- " + listedPod + "- " + listedPod + "kind: List\nmetadata:\n  resourceVersion: \"\"\n",
		"items:\n- " + listedPod + "apiVersion: v1\nkind: List\n",
		"kind: List\napiVersion: v1\nitems: # all\n\n  # first\n  - " + strings.ReplaceAll(listedPod, "\n  ", "\n    ") + "\n  # second\n  - {apiVersion: v1, kind: ConfigMap}\n",
		"apiVersion: v1\nkind: PodList\nitems:\n- metadata: {name: a}\n  spec: {containers: [{name: c}]}\n- {metadata: {name: b}}\n",
		"apiVersion: v1\nkind: List\nitems:\n-\n  apiVersion: v1\n  kind: Pod\n- a: b\n- apiVersion: v1\n  kind: ConfigMap\n  data:\n    x: |\n      items:\n      - y\n    s: \"t\n      u\"",
		"apiVersion: v1\r\nkind: List\r\nitems:\r\n- apiVersion: v1\r\n  kind: Pod\r\n- apiVersion: v1\r\n  kind: Pod\r\n",
		"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  x: &a {b: 1}\n  y: *a\n",
		`{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}, {"apiVersion": "v1", "kind": "Pod"}]}`,
		"{\n\t\"items\": [\n\t\t{\"metadata\": {\"name\": \"a, {\\\"\"},\n\t\t \"spec\": {}}\n\t, {}],\n\t\"kind\": \"PodList\", \"apiVersion\": \"v1\"\n}\n",
	}
}

func TestListItemByItem(t *testing.T) {
	for _, text := range lists() {
		if !compareList(t, text) {
			t.Errorf("%q is read as a whole", text)
		}
	}
}

// TestListAsAWhole: what a whole List has to say is left to be read as one.
func TestListAsAWhole(t *testing.T) {
	for name, text := range map[string]string{
		"no List":                   "apiVersion: example.org/v1\nkind: Menu\nitems:\n- a: b\n",
		"an item that is no object": "apiVersion: v1\nkind: List\nitems:\n- a: b\n- 3\n",
		"a broken item":             "apiVersion: v1\nkind: List\nitems:\n- a: b\n- c: [\n",
		"an anchor of another item": "apiVersion: v1\nkind: List\nitems:\n- a: &x b\n- c: *x\n",
		"a List in a List":          "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: List, items: [{a: b}]}\n",
		"a name that is no text":    "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: 3}}\n",
		"a text that begins so":     "apiVersion: v1\nkind: List\nitems:#\n- a: b\n",
		"an end after a dash":       "items:\n-",
		"two of items":              "apiVersion: v1\nkind: List\nitems:\n- a: b\nitems:\n- a: b\n",
		"items in a text":           "apiVersion: v1\nkind: List\nx: \"\nitems:\n- a: b\n\"\n",
		"a mapping behind a list":   "apiVersion: v1\nkind: List\nitems:\n  - a: b\n c: d\n",
		"JSON with two of items":    `{"apiVersion": "v1", "kind": "List", "items": [{"a": "b"}], "items": [{"a": "b"}]}`,
		"more than JSON":            `{"apiVersion": "v1", "kind": "List", "items": [{"a": "b"},]}`,
		"text behind JSON":          `{"apiVersion": "v1", "kind": "List", "items": [{"a": "b"}]} x`,
		"JSON in JSON":              `{"x": {"items": [{"a": "b"}]}, "apiVersion": "v1", "kind": "List"}`,
	} {
		if compareList(t, text) {
			t.Errorf("%s: read item by item", name)
		}
	}
}

// TestMemoryOfALargeList: of 40,000 pods in a List is kept what would be kept of
// as many documents.
func TestMemoryOfALargeList(t *testing.T) {
	const pods = 40_000
	block, doc := strings.Builder{}, strings.Builder{}
	block.WriteString("apiVersion: v1\nkind: List\nitems:\n")
	pod := "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  containers:\n  - name: c\n    image: nginx:1\n    args: [a, b, c, d]\n"
	for range pods {
		block.WriteString("- " + strings.TrimSuffix(strings.ReplaceAll(pod, "\n", "\n  "), "  "))
		doc.WriteString("---\n" + pod)
	}
	kept := func(text string) uint64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		b := Read("f", strings.NewReader(text), DefaultLimits())
		runtime.GC()
		runtime.ReadMemStats(&after)
		if len(b.Objects) != pods || len(b.Errors) > 0 {
			t.Fatalf("%d objects, %v", len(b.Objects), b.Errors)
		}
		runtime.KeepAlive(b)
		return after.HeapAlloc - before.HeapAlloc
	}
	list, documents := kept(block.String()), kept(doc.String())
	t.Logf("kept: %d MiB of a List, %d MiB of documents", list>>20, documents>>20)
	if list > documents*5/4 {
		t.Errorf("%d MiB are kept of a List, %d MiB of as many documents", list>>20, documents>>20)
	}
}

// FuzzList: a List that is read item by item is what it is as a whole.
func FuzzList(f *testing.F) {
	for _, text := range lists() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) < 1<<12 {
			compareList(t, text)
		}
	})
}
