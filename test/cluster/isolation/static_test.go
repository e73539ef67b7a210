package isolation

import (
	"os"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// launchStatic runs an API server that has the policies on its disk. Nobody
// waits until they are in force: they are from its first request on.
func launchStatic(t *testing.T) *cluster {
	t.Helper()
	catalogue := rules.Builtin()
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
	c := launch(t, "--feature-gates=ManifestBasedAdmissionControlConfig=true", "--admission-control-config-file", filepath.Join(dir, "admission.yaml"))
	c.namespace(t, team, nil)
	c.applyObjects(t, static.Applied)
	return c
}

func staticAttempts() []bypass {
	nb := secure("a", notebookImage, "")
	weakPod := securePod("", weak, nb)
	admin := func(text string) func(*testing.T, *tenancy) (*unstructured.Unstructured, error) {
		return func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
			out, _, err := w.static.try(t.Context(), pod(t, team, text))
			return out, err
		}
	}
	return []bypass{
		{"a pod without a RuntimeClass", admin(securePod("", "", nb)), assigned, "kata-fc", ""},
		{"a weaker RuntimeClass", admin(weakPod), denied, needsVM, ""},
		{"no baseline", admin(notebook), denied, "an LLM workload lacks", ""},
		{"a pod that asks for a BreakGlass", admin(securePod("bulkhead.dev/break-glass: LAB-1", weak, nb)), denied, needsVM, ""},
		{"cluster-admin makes a policy under the name of one", func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
			o := object(t, "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: bulkhead-pods-enforce.static.k8s.io}, spec: {policyName: bulkhead-pods-enforce.static.k8s.io, validationActions: [Audit]}}")
			_, _, err := w.static.try(t.Context(), o)
			return nil, err
		}, byServer, "", ""},
		{"cluster-admin deletes every admission policy, binding and IsolationPolicy", func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
			r := w.static.client.AdmissionregistrationV1()
			list, err := r.ValidatingAdmissionPolicies().List(t.Context(), metav1.ListOptions{LabelSelector: policy.ManagedByLabel})
			if err != nil || len(list.Items) > 0 {
				t.Fatalf("%d policies can be seen, and deleted by a request (%v)", len(list.Items), err)
			}
			for _, gone := range []func() error{
				func() error {
					return r.ValidatingAdmissionPolicies().DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{})
				},
				func() error {
					return r.ValidatingAdmissionPolicyBindings().DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{})
				},
				func() error {
					return r.MutatingAdmissionPolicies().DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{})
				},
				func() error {
					return r.MutatingAdmissionPolicyBindings().DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{})
				},
				func() error {
					o := object(t, "{apiVersion: bulkhead.dev/v1alpha1, kind: IsolationPolicy}")
					resource, err := w.static.resource(o)
					if err != nil {
						return err
					}
					return resource.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{})
				},
			} {
				if err := gone(); err != nil {
					t.Fatal(err)
				}
			}
			w.static.settle(t, team) // what is deleted is out of force
			return admin(weakPod)(t, w)
		}, denied, needsVM, ""},
	}
}
