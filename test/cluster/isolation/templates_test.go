package isolation

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/bulkhead-dev/bulkhead/test/cluster/apiserver"
)

// sandboxCRDs applies the CRDs of agent-sandbox.
func (c *cluster) sandboxCRDs(t *testing.T) {
	t.Helper()
	a, err := apiserver.BuildAgentSandbox(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	c.applyCRDs(t, a.CRDs)
}

// controller is an object that makes pods of a template.
func controller(t *testing.T, namespace, apiVersion, kind, pod string) *unstructured.Unstructured {
	t.Helper()
	template := object(t, pod).Object
	if template["metadata"] == nil {
		template["metadata"] = map[string]any{}
	}
	labels, _, _ := unstructured.NestedStringMap(template, "metadata", "labels")
	if labels == nil {
		labels = map[string]string{}
	}
	labels["app"] = "a"
	_ = unstructured.SetNestedStringMap(template, labels, "metadata", "labels")
	spec := map[string]any{"template": template, "selector": map[string]any{"matchLabels": map[string]any{"app": "a"}}}
	switch kind {
	case "Job", "CronJob":
		_ = unstructured.SetNestedField(template, "Never", "spec", "restartPolicy")
		spec = map[string]any{"template": template}
		if kind == "CronJob" {
			spec = map[string]any{"schedule": "0 0 * * *", "jobTemplate": map[string]any{"spec": spec}}
		}
	case "ReplicationController":
		spec["selector"] = map[string]any{"app": "a"}
	case "StatefulSet":
		spec["serviceName"] = "a"
	case "Sandbox", "SandboxTemplate":
		spec = map[string]any{"podTemplate": template}
	}
	o := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	o.SetName("a")
	o.SetNamespace(namespace)
	return o
}

func TestTemplates(t *testing.T) {
	c := start(t)
	c.sandboxCRDs(t)
	waiver := map[string]any{"owner": "team-lab", "reason": "no KVM yet", "expires": "2999-01-01", "namespace": "team",
		"selector": map[string]any{"lab": "yes"}, "containers": []any{"a"}, "allows": map[string]any{"boundary": "user-kernel"}}
	c.namespace(t, "strict", nil)
	c.namespace(t, "warned", nil)
	c.install(t, "team",
		readPolicy(t, map[string]any{"spec.baseline": "Off", "spec.waivers": []any{waiver}, "spec.namespaces": map[string]any{"include": []any{"team"}}}),
		readPolicy(t, map[string]any{"metadata.name": "strict", "spec.namespaces": map[string]any{"include": []any{"strict"}}}),
		readPolicy(t, map[string]any{"metadata.name": "warned", "spec.mode": "Warn", "spec.baseline": "Off", "spec.namespaces": map[string]any{"include": []any{"warned"}}}))
	weak := with(notebook, "runtimeClassName: gvisor")
	for kind, apiVersion := range map[string]string{
		"Deployment": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "ReplicaSet": "apps/v1", "Job": "batch/v1", "CronJob": "batch/v1",
		"ReplicationController": "v1", "Sandbox": "agents.x-k8s.io/v1alpha1", "SandboxTemplate": "extensions.agents.x-k8s.io/v1alpha1",
	} {
		for name, tt := range map[string]struct{ namespace, pod, denied, warned string }{
			"nothing":                  {"team", nothing, "", ""},
			"a class is assigned":      {"team", notebook, "", ""},
			"a class that is too weak": {"team", weak, "its pods: class code-execution needs virtual-machine, and RuntimeClass gvisor gives user-kernel: set spec.runtimeClassName to kata-fc", ""},
			"a waiver":                 {"team", labelled(weak, "lab: \"yes\""), "", ""},
			"no class":                 {"team", labelled(nothing, "bulkhead.dev/risk-class: mine"), "its pods: label bulkhead.dev/risk-class is mine", ""},
			"no baseline":              {"strict", model, "its pods: an LLM workload lacks", ""},
			"a baseline":               {"strict", hardenedModel, "", ""},
			"weak, and only warned":    {"warned", notebook, "", "its pods: class code-execution needs virtual-machine, and a pod without a RuntimeClass"},
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				_, warned, err := c.try(t.Context(), controller(t, tt.namespace, apiVersion, kind, tt.pod))
				told := strings.Join(warned, "\n")
				switch {
				case tt.denied == "" && err != nil:
					t.Error("denied:", err)
				case tt.denied != "" && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), tt.denied)):
					t.Errorf("denied, but not for %q: %v", tt.denied, err)
				case !strings.Contains(told, tt.warned) || tt.warned == "" && strings.Contains(told, "its pods"):
					t.Errorf("warned %q, not %q", told, tt.warned)
				}
			})
		}
	}
	t.Run("what is there can be scaled", func(t *testing.T) {
		old := controller(t, "kube-system", "apps/v1", "Deployment", weak)
		old.SetNamespace("later")
		c.namespace(t, "later", nil)
		if err := c.apply(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		c.install(t, "later", readPolicy(t, map[string]any{"spec.baseline": "Off"}))
		_ = unstructured.SetNestedField(old.Object, int64(0), "spec", "replicas")
		if err := c.apply(t.Context(), old, "All"); err != nil {
			t.Error("it cannot be scaled:", err)
		}
		containers := []any{map[string]any{"name": "a", "image": "jupyter/base-notebook:2"}}
		_ = unstructured.SetNestedSlice(old.Object, containers, "spec", "template", "spec", "containers")
		if err := c.apply(t.Context(), old, "All"); !apierrors.IsForbidden(err) {
			t.Error("its image is changed:", err)
		}
	})
	t.Run("what a controller makes is its own", func(t *testing.T) {
		o := controller(t, "team", "apps/v1", "ReplicaSet", weak)
		_ = unstructured.SetNestedSlice(o.Object, []any{map[string]any{"apiVersion": "apps/v1", "kind": "Deployment", "name": "a", "uid": "1", "controller": true}}, "metadata", "ownerReferences")
		if _, _, err := c.try(t.Context(), o); err != nil {
			t.Error(err)
		}
	})
}
