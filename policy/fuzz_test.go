package policy_test

import (
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// FuzzPolicy: whatever a file says, reading it ends, and a policy without a
// mistake is rendered, the same each time.
func FuzzPolicy(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("..", "deploy", "policies", "default.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("apiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicy\nmetadata: {name: a}\nspec: {mode: Audit, namespaces: {include: ['*-*', a]}}"))
	f.Add([]byte("spec: {runtimeClasses: [null], routes: [{waiver: {}}], egress: [{peers: [{port: -1}]}]}"))
	catalogue := rules.Builtin()
	f.Fuzz(func(t *testing.T, text []byte) {
		var object map[string]any
		if yaml.Unmarshal(text, &object) != nil {
			return
		}
		p, errs := v1alpha1.Read(object)
		if len(errs) > 0 {
			return
		}
		var rendered [2]string
		for i := range rendered {
			objects, err := policy.Render(policy.Input{Policies: []*v1alpha1.IsolationPolicy{p.DeepCopy()}, Rules: catalogue})
			if err != nil {
				t.Fatalf("a policy without a mistake is not rendered: %v", err)
			}
			out, err := policy.YAML(objects)
			if err != nil {
				t.Fatal(err)
			}
			rendered[i] = string(out)
		}
		if rendered[0] != rendered[1] {
			t.Error("it is rendered in two ways")
		}
	})
}
