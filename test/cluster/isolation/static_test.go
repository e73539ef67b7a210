package isolation

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// TestStaticManifests: an API server that has its policies on disk holds pods to
// them from its first request on, and nobody can take them away.
func TestStaticManifests(t *testing.T) {
	catalogue, err := rules.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := policy.Render(policy.Input{Policies: []*v1alpha1.IsolationPolicy{readPolicy(t, nil)}, Rules: catalogue, Static: true})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	static, err := policy.Static(dir, objects)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range static.Files {
		path := filepath.Join(dir, f.Path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.Text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := start(t, "--feature-gates=ManifestBasedAdmissionControlConfig=true", "--admission-control-config-file", filepath.Join(dir, "admission.yaml"))
	c.namespace(t, "team", nil)
	c.applyObjects(t, static.Applied)
	list, err := c.client.AdmissionregistrationV1().ValidatingAdmissionPolicies().List(t.Context(), metav1.ListOptions{LabelSelector: policy.ManagedByLabel})
	if err != nil || len(list.Items) > 0 {
		t.Fatalf("%d policies can be deleted by a request (%v)", len(list.Items), err)
	}
	weak := strings.Replace(hardenedNotebook, "spec:", "spec:\n  runtimeClassName: gvisor", 1)
	c.run(t, []podCase{
		{"a class is assigned", "team", hardenedNotebook, "kata-fc", "", ""},
		{"a class that is too weak", "team", weak, "", "class code-execution needs virtual-machine", ""},
		{"no baseline", "team", notebook, "", "an LLM workload lacks", ""},
		{"no way past them", "team", strings.Replace(weak, "spec:", "metadata: {labels: {bulkhead.dev/break-glass: a}}\nspec:", 1), "", "class code-execution needs virtual-machine", ""},
	})
}

// hardenedNotebook has the whole baseline.
const hardenedNotebook = `
spec:
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: a
    image: jupyter/base-notebook:1
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
`
