package v1alpha1_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// refused is an entry of testdata/refused.yaml.
type refused struct {
	Name   string         `json:"name"`
	Set    map[string]any `json:"set"`
	Field  string         `json:"field"`
	Server *bool          `json:"server"`
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatal(err)
	}
}

func defaultPolicy(t *testing.T) map[string]any {
	t.Helper()
	var object map[string]any
	readYAML(t, filepath.Join("..", "..", "deploy", "policies", "default.yaml"), &object)
	return object
}

// set puts a value where a path says; nil takes it away.
func set(t *testing.T, object any, path string, value any) {
	t.Helper()
	at, err := manifest.ParsePath(path)
	if err != nil {
		t.Fatal(err)
	}
	parent, ok := manifest.Lookup(object, at[:len(at)-1])
	if !ok {
		t.Fatalf("nothing at %s", at[:len(at)-1])
	}
	switch key := at[len(at)-1].(type) {
	case int:
		parent.([]any)[key] = value
	case string:
		if value == nil {
			delete(parent.(map[string]any), key)
		} else {
			parent.(map[string]any)[key] = value
		}
	}
}

func TestTheDefaultPolicyIsValid(t *testing.T) {
	p, errs := v1alpha1.Read(defaultPolicy(t))
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	if p.Spec.Egress[0].Peers[0].Protocol != "TCP" || !p.Spec.RuntimeClasses[0].Managed() {
		t.Errorf("defaults are not set: %+v", p.Spec)
	}
}

func TestRefused(t *testing.T) {
	var cases []refused
	readYAML(t, filepath.Join("testdata", "refused.yaml"), &cases)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			object := defaultPolicy(t)
			for path, value := range c.Set {
				set(t, object, path, value)
			}
			_, errs := v1alpha1.Read(object)
			var fields []string
			for _, err := range errs {
				fields = append(fields, err.Field)
			}
			if !slices.Contains(fields, c.Field) {
				t.Errorf("errors at %q, none at %q: %v", fields, c.Field, errs.ToAggregate())
			}
		})
	}
}

func TestNamespaces(t *testing.T) {
	for _, tt := range []struct {
		include, exclude []v1alpha1.NamespacePattern
		name             string
		want             bool
	}{
		{nil, nil, "a", true},
		{nil, nil, "bulkhead-system", false},
		{[]v1alpha1.NamespacePattern{"bulkhead-*"}, nil, "bulkhead-system", false},
		{[]v1alpha1.NamespacePattern{"a"}, nil, "ab", false},
		{[]v1alpha1.NamespacePattern{"a*"}, nil, "ab", true},
		{[]v1alpha1.NamespacePattern{"a*b*c"}, nil, "axbybzc", true},
		{[]v1alpha1.NamespacePattern{"a*b*c"}, nil, "acb", false},
		{[]v1alpha1.NamespacePattern{"a*a"}, nil, "a", false},
		{[]v1alpha1.NamespacePattern{"*"}, []v1alpha1.NamespacePattern{"kube-*"}, "kube-x", false},
	} {
		n := v1alpha1.Namespaces{Include: tt.include, Exclude: tt.exclude}
		if got := n.Contain(tt.name); got != tt.want {
			t.Errorf("%+v contain %s: %v, want %v", n, tt.name, got, tt.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "policies", "default.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add("spec: {waivers: [{}], routes: [{}], egress: [{}], runtimeClasses: [{}]}")
	f.Fuzz(func(t *testing.T, text string) {
		var object map[string]any
		if yaml.Unmarshal([]byte(text), &object) != nil {
			return
		}
		p, errs := v1alpha1.Read(object)
		if len(errs) > 0 {
			return
		}
		again := p.DeepCopy()
		again.Default()
		if wrong := again.Validate(); len(wrong) > 0 {
			t.Error("valid once, and not again:", wrong.ToAggregate())
		}
	})
}
