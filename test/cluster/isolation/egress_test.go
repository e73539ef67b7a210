package isolation

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// enforcedClass: the label that NetworkPolicies select by is Bulkhead's.
func (c *cluster) enforcedClass(t *testing.T) {
	for name, tt := range map[string]struct{ pod, label string }{
		"nothing":                        {nothing, ""},
		"a model":                        {model, ""},
		"a store":                        {store, "retrieval"},
		"a store with labels":            {labelled(store, "app: a"), "retrieval"},
		"tools with a class":             {with(tools, "runtimeClassName: kata-fc"), "tool-calling"},
		"what only calls a model":        {hint, "unknown"},
		"a notebook that says so itself": {labelled(notebook, policy.EnforcedLabel+": code-execution"), "code-execution"},
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := c.try(t.Context(), pod(t, "team", tt.pod))
			if err != nil {
				t.Fatal(err)
			}
			if got := out.GetLabels()[policy.EnforcedLabel]; got != tt.label {
				t.Errorf("label %q, not %q", got, tt.label)
			}
		})
	}
	c.run(t, []podCase{
		{"a label that is set by hand", "team", labelled(with(notebook, "runtimeClassName: kata-fc"), policy.EnforcedLabel+": inference"), "", "it has to be code-execution, and is inference", ""},
	})
}

// ratchets: what an update may and may not do to a pod that is there.
func (c *cluster) ratchets(t *testing.T) {
	o := pod(t, "team", labelled(`{spec: {containers: [{name: a, image: qdrant/qdrant:1}]}}`, "bulkhead.dev/risk-class: retrieval"))
	o.SetFinalizers([]string{"example.com/held"})
	resource, err := c.resource(o)
	if err != nil {
		t.Fatal(err)
	}
	o, err = resource.Create(t.Context(), o, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change      func(*unstructured.Unstructured)
		subresource string
		denied      bool
	}{
		"another image of the class": {func(p *unstructured.Unstructured) { setImage(p, "qdrant/qdrant:2") }, "", false},
		"an image of a higher class": {func(p *unstructured.Unstructured) { setImage(p, "jupyter/base-notebook:1") }, "", true},
		"an image of a lower class, with the label of the higher": {func(p *unstructured.Unstructured) {
			setImage(p, "registry.example/app:1")
			p.SetLabels(map[string]string{"bulkhead.dev/risk-class": "code-execution", policy.EnforcedLabel: "retrieval"})
		}, "", true},
		"no declared class": {func(p *unstructured.Unstructured) { p.SetLabels(map[string]string{policy.EnforcedLabel: "retrieval"}) }, "", false},
		"no enforced class": {func(p *unstructured.Unstructured) {
			p.SetLabels(map[string]string{"bulkhead.dev/risk-class": "retrieval"})
		}, "", true},
		"no finalizer": {func(p *unstructured.Unstructured) { p.SetFinalizers(nil) }, "", false},
		"an ephemeral container of a higher class": {func(p *unstructured.Unstructured) {
			_ = unstructured.SetNestedSlice(p.Object, []any{map[string]any{"name": "debug", "image": "jupyter/base-notebook:1"}}, "spec", "ephemeralContainers")
		}, "ephemeralcontainers", true},
		"an ephemeral container": {func(p *unstructured.Unstructured) {
			_ = unstructured.SetNestedSlice(p.Object, []any{map[string]any{"name": "debug", "image": "busybox:1"}}, "spec", "ephemeralContainers")
		}, "ephemeralcontainers", false},
	} {
		t.Run("update/"+name, func(t *testing.T) {
			changed := o.DeepCopy()
			tt.change(changed)
			var sub []string
			if tt.subresource != "" {
				sub = append(sub, tt.subresource)
			}
			_, err := resource.Update(t.Context(), changed, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}, sub...)
			if (err != nil) != tt.denied {
				t.Errorf("denied %t, want %t: %v", err != nil, tt.denied, err)
			}
		})
	}
}

func setImage(p *unstructured.Unstructured, image string) {
	containers, _, _ := unstructured.NestedSlice(p.Object, "spec", "containers")
	containers[0].(map[string]any)["image"] = image
	_ = unstructured.SetNestedSlice(p.Object, containers, "spec", "containers")
}

// oldPod makes a pod, and returns a test of it after policies are in force: it
// can still be finished.
func (c *cluster) oldPod(t *testing.T) func(*testing.T) {
	t.Helper()
	c.namespace(t, "team", nil)
	o := pod(t, "team", labelled(notebook, "bulkhead.dev/risk-class: code-execution"))
	o.SetFinalizers([]string{"example.com/held"})
	resource, err := c.resource(o)
	if err != nil {
		t.Fatal(err)
	}
	if o, err = resource.Create(t.Context(), o, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) {
		update := func(change func(*unstructured.Unstructured)) error {
			changed := o.DeepCopy()
			change(changed)
			_, err := resource.Update(t.Context(), changed, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
			return err
		}
		if err := update(func(p *unstructured.Unstructured) { p.SetFinalizers(nil) }); err != nil {
			t.Error("its finalizer stays:", err)
		}
		if err := update(func(p *unstructured.Unstructured) { p.SetLabels(nil) }); err != nil {
			t.Error("its labels stay:", err)
		}
		if err := update(func(p *unstructured.Unstructured) { setImage(p, "jupyter/base-notebook:2") }); err == nil {
			t.Error("its image is changed")
		}
	}
}
