package config_test

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xeipuuv/gojsonschema"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// schemaText is the schema by which editors complete the file.
func schemaText(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "bulkhead.schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// valid reports whether the schema allows a configuration; ok is false where it
// is no YAML that JSON has a form for.
func valid(t *testing.T, schema *gojsonschema.Schema, text string) (allowed, ok bool) {
	t.Helper()
	document, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		return false, false
	}
	result, err := schema.Validate(gojsonschema.NewBytesLoader(document))
	if err != nil {
		t.Fatal(err)
	}
	return result.Valid(), true
}

// TestSchemaAgrees: what the schema allows is what Parse accepts.
func TestSchemaAgrees(t *testing.T) {
	schema, err := gojsonschema.NewSchema(gojsonschema.NewBytesLoader(schemaText(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		head,
		head + "routes: {inference: [gvisor, kata]}\nruntimeClasses: {kata: kata-qemu}\nruleFiles: [a, b/c.yaml]\n",
		head + "rules: {api-token: {enabled: false, reason: r}, boundary: {severity: warning, reason: r}, x: {enabled: true, severity: info, reason: r}}\n",
		head + "kinds:\n- {kind: A, pods: [{at: '.'}]}\n- {group: g, kind: B, class: retrieval, why: w, references: [{kind: A, name: spec.a}]}\n- {kind: C, class: none, pods: [{role: r, at: spec, spec: ['.'], omit: [x], metadata: m, containers: [{at: c, name: main, rename: {a: b}, args: {a: --a=}}], args: [a]}], signs: [{at: a, class: retrieval, why: w}]}\n",
		head + "images: [{match: 'registry.example:5000/a/*', class: retrieval}, {match: vllm-*, class: inference}]\n",
		head + "peers:\n- {name: a, namespace: ns, pods: {app.kubernetes.io/name: b, c: 3}, port: 443, hosts: [A.example, kubernetes.default.svc]}\n- {name: b, cidr: 'fd12:3456::/48', port: 1}\n- {name: c, namespace: ns, pods: {a: b}, cidr: 203.0.113.7/32, port: 65535}\n",
		head + "waivers:\n- " + whole + "\n- {owner: o, reason: r, ticket: 142, expires: '2027-06-30', scope: {kind: Pod, namespace: n, name: p}, accept: {boundary: user-kernel}}\n",
	} {
		if _, err := config.Parse("f", []byte(text)); err != nil {
			t.Errorf("the test's own example is none: %v\n%s", err, text)
		}
		if allowed, _ := valid(t, schema, text); !allowed {
			t.Errorf("the schema refuses what is accepted:\n%s", text)
		}
	}
	// What only reading the whole file shows, or the form of YAML.
	beyond := []string{"a kind twice", "a path that is none", "a merge key", "a second document", "a peer twice", "a block that is written as another", "everywhere", "everywhere by IPv6", "a part of the Internet",
		"the metadata service", "the metadata service by IPv6", "the metadata service in another form", "the metadata service as a host"}
	refused := 0
	for _, m := range mistakes(t) {
		allowed, ok := valid(t, schema, m.text)
		switch {
		case !ok:
		case allowed != slices.Contains(beyond, m.name):
			t.Errorf("%s: the schema allows it: %v\n%s", m.name, allowed, m.text)
		case !allowed:
			refused++
		}
	}
	if refused < 50 {
		t.Errorf("only %d mistakes reach the schema: it is no longer tested", refused)
	}
}

// TestSchemaNamesWhatThereIs: its lists of names are those of the code.
func TestSchemaNamesWhatThereIs(t *testing.T) {
	var schema struct {
		Properties  map[string]struct{ Properties map[string]any }
		Definitions map[string]struct {
			Enum       []string
			Properties map[string]struct {
				Enum  []string
				Items struct{ Properties map[string]any }
			}
		}
	}
	if err := json.Unmarshal(schemaText(t), &schema); err != nil {
		t.Fatal(err)
	}
	var runtimes, classes, routed []string
	for _, rt := range boundary.Runtimes() {
		runtimes = append(runtimes, string(rt))
	}
	for _, c := range risk.Classes() {
		classes = append(classes, c.String())
		if c >= risk.Inference {
			routed = append(routed, c.String())
		}
	}
	fields := func(v any) []string {
		var out []string
		for i := range reflect.TypeOf(v).NumField() {
			out = append(out, strings.Split(reflect.TypeOf(v).Field(i).Tag.Get("yaml"), ",")[0])
		}
		return out
	}
	kind := schema.Definitions["kind"]
	for _, tt := range []struct {
		what      string
		got, want []string
	}{
		{"runtimes", schema.Definitions["runtime"].Enum, runtimes},
		{"classes", schema.Definitions["class"].Enum, classes},
		{"classes of images", schema.Definitions["image"].Properties["class"].Enum, routed},
		{"classes with a route", slices.Collect(maps.Keys(schema.Properties["routes"].Properties)), routed},
		{"fields of a kind", slices.Collect(maps.Keys(kind.Properties)), fields(manifest.Kind{})},
		{"fields of a sign", slices.Collect(maps.Keys(kind.Properties["signs"].Items.Properties)), fields(manifest.Sign{})},
		{"fields of a reference", slices.Collect(maps.Keys(kind.Properties["references"].Items.Properties)), fields(manifest.Reference{})},
		{"fields of a pod", slices.Collect(maps.Keys(schema.Definitions["pod"].Properties)), fields(manifest.Pod{})},
		{"fields of a container", slices.Collect(maps.Keys(schema.Definitions["pod"].Properties["containers"].Items.Properties)), fields(manifest.Container{})},
	} {
		slices.Sort(tt.got)
		slices.Sort(tt.want)
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s: %s", tt.what, diff)
		}
	}
}

// TestDocumentedExamples: what docs/configuration.md shows is accepted, by Parse,
// by the schema and by the rules' own reader.
func TestDocumentedExamples(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	schema, err := gojsonschema.NewSchema(gojsonschema.NewBytesLoader(schemaText(t)))
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d examples, want a configuration and a file of rules", len(blocks))
	}
	c, err := config.Parse("configuration.md", []byte(blocks[0][1]))
	if err != nil {
		t.Fatal(err)
	}
	if allowed, _ := valid(t, schema, blocks[0][1]); !allowed {
		t.Error("the schema refuses the documented configuration")
	}
	if diff := cmp.Diff(boundary.DefaultRoutes(), c.Routes); diff != "" {
		t.Errorf("the routes that are called the defaults are others:\n%s", diff)
	}
	own, err := rules.Parse("configuration.md", []byte(blocks[1][1]))
	if err != nil {
		t.Fatal(err)
	}
	c.Own = own
	builtin := rules.Builtin()
	if _, notes, err := c.Catalogue(builtin); err != nil || len(notes) != 1 {
		t.Errorf("the example names rules that are not there, or changes nothing: %v, %v", notes, err)
	}
}
