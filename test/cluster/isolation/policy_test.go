package isolation

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// readPolicy is the default policy, with values set over it.
func readPolicy(t *testing.T, values map[string]any) *v1alpha1.IsolationPolicy {
	t.Helper()
	var object map[string]any
	readYAML(t, defaultPolicy, &object)
	for path, value := range values {
		set(t, object, path, value)
	}
	p, errs := v1alpha1.Read(object)
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	return p
}

// install applies what policies render to, and returns when the API server
// holds pods in the namespace to them.
func (c *cluster) install(t *testing.T, namespace string, policies ...*v1alpha1.IsolationPolicy) {
	t.Helper()
	c.namespace(t, namespace, nil)
	catalogue := rules.Builtin()
	objects, err := policy.Render(policy.Input{Policies: policies, Rules: catalogue, Namespaces: []string{namespace}})
	if err != nil {
		t.Fatal(err)
	}
	c.applyObjects(t, objects)
	c.settle(t, namespace)
}

// applyObjects applies what was rendered.
func (c *cluster) applyObjects(t *testing.T, objects []policy.Object) {
	t.Helper()
	for _, o := range objects {
		value, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.apply(t.Context(), &unstructured.Unstructured{Object: value}); err != nil {
			t.Fatalf("%s: %v", o.GetName(), err)
		}
	}
}

// canary is a pair of policies that mark a pod and warn about the mark. What was
// applied before them is in force when they are. Each pair takes pods of its own:
// the API server runs mutating policies in no order, so two that write one mark
// would hide each other.
const canary = `
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: canary-%[1]d}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}
  matchConditions: [{name: canary, expression: "object.metadata.?annotations[?'canary'] == optional.of('%[1]d')"}]
  mutations: [{patchType: JSONPatch, jsonPatch: {expression: "[JSONPatch{op: 'add', path: '/metadata/annotations/marked', value: 'yes'}]"}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: canary-%[1]d}
spec: {policyName: canary-%[1]d}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: canary-%[1]d}
spec:
  failurePolicy: Fail
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}
  matchConditions: [{name: canary, expression: "object.metadata.?annotations[?'canary'] == optional.of('%[1]d')"}]
  validations: [{expression: "!('marked' in object.metadata.annotations)", message: "canary %[1]d"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: canary-%[1]d}
spec: {policyName: canary-%[1]d, validationActions: [Warn]}
`

// settle returns when everything that was applied before is in force.
func (c *cluster) settle(t *testing.T, namespace string) {
	t.Helper()
	c.canaries++
	for text := range strings.SplitSeq(fmt.Sprintf(canary, c.canaries), "---") {
		if err := c.apply(t.Context(), object(t, text)); err != nil {
			t.Fatal(err)
		}
	}
	bird := pod(t, namespace, fmt.Sprintf(`{metadata: {annotations: {canary: "%d"}}, spec: {containers: [{name: a, image: registry.example/app:1}]}}`, c.canaries))
	c.await(t, "policies are in force", func(ctx context.Context) (bool, error) {
		_, warned, err := c.try(ctx, bird)
		return strings.Contains(strings.Join(warned, " "), fmt.Sprintf("canary %d", c.canaries)), err
	})
}

// namespace makes a namespace, with the ServiceAccount that a controller makes.
func (c *cluster) namespace(t *testing.T, name string, labels map[string]string) {
	t.Helper()
	for _, text := range []string{
		"{apiVersion: v1, kind: Namespace, metadata: {name: " + name + "}}",
		"{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: " + name + "}}",
	} {
		o := object(t, text)
		if o.GetKind() == "Namespace" {
			o.SetLabels(labels)
		}
		if err := c.apply(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(text), &o.Object); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return o
}

// pod is a pod of a namespace, from what is special about it.
func pod(t *testing.T, namespace, text string) *unstructured.Unstructured {
	t.Helper()
	o := object(t, text)
	o.SetAPIVersion("v1")
	o.SetKind("Pod")
	o.SetNamespace(namespace)
	o.SetGenerateName("case-")
	return o
}

// try creates an object (dry run), and returns it as it would be stored, with
// what the API server warned about.
func (c *cluster) try(ctx context.Context, o *unstructured.Unstructured) (*unstructured.Unstructured, []string, error) {
	resource, err := c.resource(o)
	if err != nil {
		return nil, nil, err
	}
	c.warnings.take()
	out, err := resource.Create(ctx, o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return out, c.warnings.take(), err
}

// TestDefaultPolicy: what the default policy makes of pods, of those from before
// it, and of the classes that it assigns.
func TestDefaultPolicy(t *testing.T) {
	c := start(t)
	t.Run("schema", c.schemaRefuses)
	t.Run("kubectl", c.explained)
	old := c.oldPod(t)
	overhead := managedClasses()
	overhead[2].(map[string]any)["overhead"] = map[string]any{"podFixed": map[string]any{"memory": "160Mi"}}
	overhead[2].(map[string]any)["scheduling"] = map[string]any{"nodeSelector": map[string]any{"pool": "kvm"}}
	c.install(t, "team", readPolicy(t, map[string]any{"spec.baseline": "Off", "spec.runtimeClasses": overhead}))
	t.Run("pods", c.pods)
	t.Run("enforced class", c.enforcedClass)
	t.Run("updates", c.ratchets)
	t.Run("old pods", old)
}

// pods: what is denied, and what comes with a class that is assigned.
func (c *cluster) pods(t *testing.T) {
	for _, tt := range []struct {
		name, pod string
		denied    string // a part of the reason
	}{
		{"an ordinary pod", `spec: {containers: [{name: a, image: registry.example/app:1}]}`, ""},
		{"code execution on a weaker class", `spec: {runtimeClassName: gvisor, containers: [{name: a, image: jupyter/base-notebook:1}]}`,
			"class code-execution needs virtual-machine, and RuntimeClass gvisor gives user-kernel: set spec.runtimeClassName to kata-fc"},
		{"code execution on its class", `spec: {runtimeClassName: kata-fc, containers: [{name: a, image: jupyter/base-notebook:1}]}`, ""},
		{"a declared class that is no class", `{metadata: {labels: {bulkhead.dev/risk-class: Inference}}, spec: {containers: [{name: a, image: b:1}]}}`,
			"label bulkhead.dev/risk-class is Inference: it is one of none"},
		{"a label that lies", `{metadata: {labels: {bulkhead.dev/risk-class: inference}}, spec: {runtimeClassName: gvisor, containers: [{name: a, image: jupyter/base-notebook:1}]}}`,
			"class code-execution needs virtual-machine"},
		{"a second container", `spec: {runtimeClassName: gvisor, containers: [{name: a, image: app:1}], initContainers: [{name: b, image: jupyter/base-notebook:1}]}`,
			"class code-execution needs virtual-machine"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := c.try(t.Context(), pod(t, "team", tt.pod))
			switch {
			case tt.denied == "" && err != nil:
				t.Error("denied:", err)
			case tt.denied != "" && !apierrors.IsForbidden(err):
				t.Error("not denied by policy:", err)
			case tt.denied != "" && !strings.Contains(err.Error(), tt.denied):
				t.Errorf("denied, but not for %q: %v", tt.denied, err)
			}
		})
	}
	t.Run("overhead and scheduling", func(t *testing.T) {
		out, _, err := c.try(t.Context(), pod(t, "team", notebook))
		if err != nil {
			t.Fatal(err)
		}
		memory, _, _ := unstructured.NestedString(out.Object, "spec", "overhead", "memory")
		pool, _, _ := unstructured.NestedString(out.Object, "spec", "nodeSelector", "pool")
		if memory != "160Mi" || pool != "kvm" {
			t.Errorf("overhead %q and pool %q: the API server stamps those of the RuntimeClass that is assigned", memory, pool)
		}
	})
}
