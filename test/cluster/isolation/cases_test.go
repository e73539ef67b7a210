package isolation

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// podCase is a pod and what becomes of it.
type podCase struct {
	name, namespace, pod string
	// gets is the RuntimeClass that it is stored with.
	gets string
	// denied is a part of the reason; "" for a pod that is admitted.
	denied string
	// warned is a part of what is warned about; "" for nothing.
	warned string
}

func (c *cluster) run(t *testing.T, cases []podCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.namespace+"/"+tt.name, func(t *testing.T) {
			out, warned, err := c.try(t.Context(), pod(t, tt.namespace, tt.pod))
			told := strings.Join(warned, "\n")
			switch {
			case tt.denied == "" && err != nil:
				t.Fatal("denied:", err)
			case tt.denied != "" && !apierrors.IsForbidden(err):
				t.Fatal("not denied by policy:", err)
			case tt.denied != "" && !strings.Contains(err.Error(), tt.denied):
				t.Fatalf("denied, but not for %q: %v", tt.denied, err)
			}
			if tt.denied == "" && (tt.warned == "") != (told == "") || !strings.Contains(told, tt.warned) {
				t.Errorf("warned %q, not %q", told, tt.warned)
			}
			if err == nil {
				if got, _, _ := unstructured.NestedString(out.Object, "spec", "runtimeClassName"); got != tt.gets {
					t.Errorf("it gets RuntimeClass %q, not %q", got, tt.gets)
				}
			}
		})
	}
}

// Pods of each class by what they are.
const (
	nothing  = `{spec: {containers: [{name: a, image: registry.example/app:1}]}}`
	model    = `{spec: {containers: [{name: a, image: vllm/vllm-openai:1}]}}`
	store    = `{spec: {containers: [{name: a, image: qdrant/qdrant:1}]}}`
	tools    = `{spec: {containers: [{name: a, image: kagent:1}]}}`
	notebook = `{spec: {containers: [{name: a, image: jupyter/base-notebook:1}]}}`
	hint     = `{spec: {containers: [{name: a, image: registry.example/app:1, env: [{name: OPENAI_API_KEY, value: x}]}]}}`
)

// with is a pod with another RuntimeClass, or other values.
func with(pod, more string) string { return strings.Replace(pod, "spec: {", "spec: {"+more+", ", 1) }

func labelled(pod, labels string) string {
	return strings.Replace(pod, "{spec: ", "{metadata: {labels: {"+labels+"}}, spec: ", 1)
}

// TestSeveralPolicies: what each policy says, where only it holds and where
// several do.
func TestSeveralPolicies(t *testing.T) {
	c := start(t)
	named := func(name, include string, more map[string]any) *v1alpha1.IsolationPolicy {
		values := map[string]any{"metadata.name": name, "spec.baseline": "Off", "spec.egress": []any{}}
		if include != "" {
			values["spec.namespaces"] = map[string]any{"include": []any{include}}
		}
		for path, value := range more {
			values[path] = value
		}
		return readPolicy(t, values)
	}
	waiver := func(expires, container, allows string) map[string]any {
		return map[string]any{"owner": "team-lab", "ticket": "LAB-1", "reason": "no KVM yet", "expires": expires, "namespace": "waived",
			"selector": map[string]any{"app": "lab"}, "containers": []any{container}, "allows": map[string]any{"boundary": allows}}
	}
	c.install(t, "plain",
		named("everywhere", "", map[string]any{"spec.namespaces": map[string]any{"exclude": []any{"kube-system", "waived", "warned", "declared", "audited"}}}),
		named("floor", "floor-*", map[string]any{"spec.undeclared": map[string]any{"floor": "user-kernel",
			"exempt": map[string]any{"images": []any{"registry.example/node/*"}, "namespaces": []any{"floor-free"}}}}),
		named("waived", "waived", map[string]any{
			"spec.routes": []any{
				map[string]any{"riskClass": "tool-calling", "runtimeClasses": []any{"gvisor", "kata"}, "waiver": map[string]any{"owner": "team-lab", "reason": "no KVM", "expires": "2999-01-01"}},
				map[string]any{"riskClass": "retrieval", "runtimeClasses": []any{"NodeDefault"}, "waiver": map[string]any{"owner": "team-lab", "reason": "later", "expires": "2020-01-01"}},
			},
			"spec.waivers": []any{waiver("2999-01-01", "lab", "user-kernel"), waiver("2020-01-01", "old", "user-kernel")},
		}),
		named("warned", "warned", map[string]any{"spec.mode": "Warn"}),
		named("audited", "audited", map[string]any{"spec.mode": "Audit"}),
		named("declared", "declared", map[string]any{"spec.unknown": "Deny", "spec.undeclared": map[string]any{"mode": "Evidence"}}),
	)
	for _, name := range []string{"floor-a", "floor-free", "waived", "warned", "audited", "declared", "bulkhead-system"} {
		c.namespace(t, name, nil)
	}
	c.namespace(t, "raised", map[string]string{"bulkhead.dev/minimum-boundary": "virtual-machine"})
	c.namespace(t, "mistyped", map[string]string{"bulkhead.dev/minimum-boundary": "vm"})
	lab := strings.ReplaceAll(labelled(notebook, "app: lab"), "name: a", "name: lab")
	c.run(t, []podCase{
		{"nothing", "plain", nothing, "", "", ""},
		{"a model", "plain", model, "", "", ""},
		{"a model of several tenants", "plain", labelled(model, `bulkhead.dev/tenant-data: "true"`), "gvisor", "", ""},
		{"nothing of several tenants", "plain", labelled(nothing, `bulkhead.dev/tenant-data: "true"`), "", "", ""},
		{"a store", "plain", store, "gvisor", "", ""},
		{"tools", "plain", tools, "kata", "", ""},
		{"a notebook", "plain", notebook, "kata-fc", "", ""},
		{"a notebook that says model", "plain", labelled(notebook, "bulkhead.dev/risk-class: inference"), "kata-fc", "", ""},
		{"nothing that says code", "plain", labelled(nothing, "bulkhead.dev/risk-class: code-execution"), "kata-fc", "", ""},
		{"what only calls a model", "plain", hint, "kata-fc", "", ""},
		{"a stronger class", "plain", with(store, "runtimeClassName: kata"), "kata", "", ""},
		{"a weaker class", "plain", with(tools, "runtimeClassName: gvisor"), "", "set spec.runtimeClassName to kata", ""},
		{"a class that nobody trusts", "plain", with(store, "runtimeClassName: other"), "", "RuntimeClass \"other\" not found", ""},

		{"nothing", "floor-a", nothing, "gvisor", "", ""},
		{"nothing that says none", "floor-a", labelled(nothing, "bulkhead.dev/risk-class: none"), "gvisor", "", ""},
		{"a model that says so", "floor-a", labelled(model, "bulkhead.dev/risk-class: inference"), "gvisor", "", ""},
		{"a notebook", "floor-a", notebook, "kata-fc", "", ""},
		{"an exempt image", "floor-a", strings.ReplaceAll(nothing, "registry.example/app", "registry.example/node/agent"), "", "", ""},
		{"an exempt image and another", "floor-a", `{spec: {containers: [{name: a, image: registry.example/node/agent:1}, {name: b, image: registry.example/app:1}]}}`, "gvisor", "", ""},
		{"nothing", "floor-free", nothing, "", "", ""},
		{"a notebook", "floor-free", notebook, "kata-fc", "", ""},

		{"nothing", "raised", nothing, "kata", "", ""},
		{"nothing on a weaker class", "raised", with(nothing, "runtimeClassName: gvisor"), "", "class none needs virtual-machine, and RuntimeClass gvisor gives user-kernel", ""},
		{"nothing", "mistyped", nothing, "kata", "", ""},

		{"tools on the waived route", "waived", tools, "gvisor", "", "below the default route: class tool-calling"},
		{"a store on an expired route", "waived", with(store, "runtimeClassName: gvisor"), "gvisor", "", ""},
		{"a store without a class on an expired route", "waived", store, "", "class retrieval needs user-kernel, and a pod without a RuntimeClass gives shared-kernel", ""},
		{"the waived pod", "waived", with(lab, "runtimeClassName: gvisor"), "gvisor", "", "user-kernel in waived is waived by team-lab until 2999-01-01"},
		{"the waived pod on less", "waived", lab, "", "class code-execution needs virtual-machine", ""},
		{"the waived pod with another container", "waived", strings.Replace(with(lab, "runtimeClassName: gvisor"), "containers: [", "containers: [{name: b, image: registry.example/app:1}, ", 1), "", "class code-execution needs virtual-machine", ""},
		{"another pod", "waived", with(notebook, "runtimeClassName: gvisor"), "", "class code-execution needs virtual-machine", ""},
		{"an expired waiver", "waived", strings.ReplaceAll(with(lab, "runtimeClassName: gvisor"), "name: lab", "name: old"), "", "the waiver of team-lab (LAB-1) ended with 2020-01-01", ""},

		{"a notebook", "warned", notebook, "", "", "class code-execution needs virtual-machine, and a pod without a RuntimeClass gives shared-kernel: set spec.runtimeClassName to kata-fc"},
		{"nothing", "warned", nothing, "", "", ""},
		{"a notebook", "audited", notebook, "", "", ""},

		{"what only calls a model", "declared", hint, "", "nothing shows of which class", ""},
		{"what says what it is", "declared", labelled(hint, "bulkhead.dev/risk-class: tool-calling"), "kata", "", ""},
		{"a notebook", "declared", notebook, "kata-fc", "", ""},

		{"a notebook", "bulkhead-system", notebook, "", "", ""},
	})
}
