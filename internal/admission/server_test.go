package admission_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/admission"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

func server(t *testing.T, mode v1alpha1.Mode) *admission.Server {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "policies", "default.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	p, errs := v1alpha1.Read(object(t, string(text)))
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	p.Spec.Mode = mode
	catalogue := rules.Builtin()
	objects, err := policy.Render(policy.Input{Policies: []*v1alpha1.IsolationPolicy{p}, Rules: catalogue})
	if err != nil {
		t.Fatal(err)
	}
	s, err := admission.New(objects)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var out map[string]any
	if err := yaml.Unmarshal([]byte(text), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

const (
	web      = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: web, image: nginx}]}"
	metadata = "metadata: {name: a, labels: {bulkhead.dev/risk-class: retrieval}}"
	spec     = `spec:
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: a
    image: example.com/a@sha256:0123456789012345678901234567890123456789012345678901234567890123
    resources: {limits: {cpu: '1', memory: 1Gi, ephemeral-storage: 1Gi}, requests: {cpu: '1', memory: 1Gi, ephemeral-storage: 1Gi}}
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
`
	open     = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: {podSelector: {%s}, egress: [{}]}"
	declared = "apiVersion: v1\nkind: Pod\n" + metadata + "\n" + spec
)

// deployment makes pods of a manifest.
func deployment(pod string) string {
	_, pod, _ = strings.Cut(pod, "kind: Pod\n")
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  template:\n    " + strings.ReplaceAll(pod, "\n", "\n    ")
}

func TestAdmit(t *testing.T) {
	enforce, warn := server(t, v1alpha1.Enforce), server(t, v1alpha1.Warn)
	weak := strings.Replace(declared, "spec:\n", "spec:\n  runtimeClassName: runc\n", 1)
	for _, c := range []struct {
		name, object, namespace, denied, warned, class string
		labels                                         map[string]string
		server                                         *admission.Server
	}{
		{name: "ordinary", object: web, server: enforce},
		{name: "assigned", object: declared, class: "gvisor", server: enforce},
		{name: "too weak", object: weak, denied: "set spec.runtimeClassName to gvisor", class: "runc", server: enforce},
		{name: "warned only", object: weak, warned: "set spec.runtimeClassName to gvisor", class: "runc", server: warn},
		{name: "nothing is assigned in Warn", object: declared, warned: "a pod without a RuntimeClass gives shared-kernel", server: warn},
		{name: "out of scope", object: weak, namespace: "kube-system", class: "runc", server: enforce},
		{name: "a floor of the namespace", object: web, labels: map[string]string{"bulkhead.dev/minimum-boundary": "virtual-machine"}, class: "kata", server: enforce},
		{name: "a token", object: strings.Replace(declared, "  automountServiceAccountToken: false\n", "", 1), denied: "mounts no ServiceAccount token", class: "gvisor", server: enforce},
		{name: "a template", object: deployment(weak), denied: "its pods: class retrieval needs user-kernel", server: enforce},
		{name: "a template of a pod that is assigned to", object: deployment(declared), class: "gvisor", server: enforce},
		{name: "a NetworkPolicy that opens more", object: fmt.Sprintf(open, ""), denied: "opens egress that their IsolationPolicy does not", server: enforce},
		{name: "one that leaves confined pods out", object: fmt.Sprintf(open, "matchExpressions: [{key: bulkhead.dev/enforced-class, operator: DoesNotExist}]"), server: enforce},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := object(t, c.object)
			before := object(t, c.object)
			namespace := c.namespace
			if namespace == "" {
				namespace = "team-a"
			}
			v, err := c.server.Admit(admission.Request{Object: o, Namespace: namespace, NamespaceLabels: c.labels, Time: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range []struct {
				what, want string
				got        []string
			}{{"denied", c.denied, v.Denied}, {"warned", c.warned, v.Warned}} {
				all := strings.Join(m.got, "\n")
				if (m.want == "") != (all == "") || !strings.Contains(all, m.want) {
					t.Errorf("%s: %q, want %q", m.what, all, m.want)
				}
			}
			if v.RuntimeClass != c.class {
				t.Errorf("RuntimeClass %q, want %q", v.RuntimeClass, c.class)
			}
			if diff := cmp.Diff(before, o); diff != "" {
				t.Errorf("the object was changed:\n%s", diff)
			}
		})
	}
}

func TestAdmitErrors(t *testing.T) {
	s := server(t, v1alpha1.Enforce)
	for name, text := range map[string]string{
		"no pod":      "apiVersion: v1\nkind: ConfigMap",
		"break-glass": "apiVersion: v1\nkind: Pod\nmetadata: {labels: {bulkhead.dev/break-glass: 'true'}}",
	} {
		if v, err := s.Admit(admission.Request{Object: object(t, text), Namespace: "a", Time: time.Now()}); err == nil {
			t.Errorf("%s: %+v, want an error", name, v)
		}
	}
}

// TestUpdates: a pod that is there is judged by what a change brings.
func TestUpdates(t *testing.T) {
	s := server(t, v1alpha1.Enforce)
	for name, c := range map[string]struct{ from, to, denied string }{
		"a label goes":                     {declared, strings.Replace(declared, ", labels: {bulkhead.dev/risk-class: retrieval}", "", 1), ""},
		"an image of the class":            {web, strings.Replace(web, "nginx", "nginx:2", 1), ""},
		"an image that executes code":      {web, strings.Replace(web, "image: nginx", "image: 'jupyter/base-notebook'", 1), "class code-execution needs virtual-machine"},
		"an ephemeral container that does": {web, strings.Replace(web, "containers:", "ephemeralContainers: [{name: b, image: jupyter/base-notebook}], containers:", 1), "class code-execution needs virtual-machine"},
		"a template of weaker pods":        {deployment(declared), strings.Replace(deployment(declared), "spec:\n      auto", "spec:\n      runtimeClassName: runc\n      auto", 1), "its pods: class retrieval needs user-kernel"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.from == c.to {
				t.Fatal("nothing is changed")
			}
			v, err := s.Admit(admission.Request{Object: object(t, c.to), Old: object(t, c.from), Namespace: "team-a", Time: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			all := strings.Join(v.Denied, "\n")
			if (c.denied == "") != (all == "") || !strings.Contains(all, c.denied) {
				t.Errorf("denied: %q, want %q", all, c.denied)
			}
		})
	}
	if v, err := s.Admit(admission.Request{Object: object(t, web), Old: object(t, deployment(declared)), Namespace: "a", Time: time.Now()}); err == nil {
		t.Errorf("a Deployment becomes a pod: %+v", v)
	}
}
