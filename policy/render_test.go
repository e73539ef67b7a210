package policy_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

var update = flag.Bool("update", false, "write the golden files anew")

// readPolicy reads the default policy, changed by what is written over its spec.
func readPolicy(t *testing.T, name, over string) *v1alpha1.IsolationPolicy {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "deploy", "policies", "default.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var object, changes map[string]any
	if err := yaml.UnmarshalStrict(text, &object); err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict([]byte(over), &changes); err != nil {
		t.Fatal(err)
	}
	object["metadata"].(map[string]any)["name"] = name
	for key, value := range changes {
		object["spec"].(map[string]any)[key] = value
	}
	p, errs := v1alpha1.Read(object)
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	return p
}

func render(t *testing.T, policies ...*v1alpha1.IsolationPolicy) []byte {
	t.Helper()
	c := rules.Builtin()
	objects, err := policy.Render(policy.Input{Policies: policies, Rules: c})
	if err != nil {
		t.Fatal(err)
	}
	text, err := policy.YAML(objects)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestGolden: what the default policy renders to is reviewed as a file.
func TestGolden(t *testing.T) {
	got := render(t, readPolicy(t, "default", ""))
	golden := filepath.Join("testdata", "default.yaml")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("rendered otherwise than %s (-want +got); if that is meant: go test ./policy -update\n%s", golden, diff)
	}
}

// TestTheOrderOfPoliciesDoesNotMatter: the same policies give the same bytes.
func TestTheOrderOfPoliciesDoesNotMatter(t *testing.T) {
	a, b := readPolicy(t, "a", ""), readPolicy(t, "b", "undeclared: {floor: user-kernel}\nnamespaces: {include: [team-*]}")
	if !bytes.Equal(render(t, a, b), render(t, b, a)) {
		t.Error("the order of the policies changes what is rendered")
	}
}

func TestPoliciesThatContradict(t *testing.T) {
	c := rules.Builtin()
	a := readPolicy(t, "a", "")
	for name, others := range map[string][]*v1alpha1.IsolationPolicy{
		"two of one name":          {a, readPolicy(t, "a", "mode: Warn")},
		"one class, two handlers":  {a, readPolicy(t, "b", "runtimeClasses: [{name: gvisor, runtime: gvisor, handler: gvisor}]\nroutes: []")},
		"managed by one, not both": {a, readPolicy(t, "b", "runtimeClasses: [{name: gvisor, runtime: gvisor, handler: runsc, manage: false}]\nroutes: []")},
		"none":                     nil,
	} {
		if _, err := policy.Render(policy.Input{Policies: others, Rules: c}); err == nil {
			t.Errorf("%s: rendered", name)
		}
	}
}
