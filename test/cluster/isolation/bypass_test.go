package isolation

import (
	"context"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
)

var update = flag.Bool("update", false, "write docs/bypass.md anew")

const bypassPage = "../../../docs/bypass.md"

// ending is how a way round the policy ends.
type ending string

// The endings.
const (
	denied   ending = "denied"                           // by a policy, with a reason
	assigned ending = "gets RuntimeClass"                // the pod is held to its boundary
	byServer ending = "refused by the API server itself" // whatever the policy says
	byRBAC   ending = "refused by RBAC"                  // and by that alone
	harmless ending = "allowed, changes nothing"         // of what the boundary rests on
	meant    ending = "allowed, as it is meant"          // the exception that a cluster has, kept in sight
	open     ending = "**open**"                         // a hole
)

// bypass is a way round the policy that somebody tries.
type bypass struct {
	name string
	// try makes the attempt. It returns the pod that came of it, where one did.
	try  func(*testing.T, *tenancy) (*unstructured.Unstructured, error)
	ends ending
	// says is a part of the reason for what is refused, the RuntimeClass for what
	// is assigned.
	says string
	// why is what the page says of what is allowed: the reason, and what covers it.
	why string
}

// chapter is a part of the page.
type chapter struct {
	title string
	cases []bypass
}

// tenancy is a cluster under the default policy, with who tries to get round it.
type tenancy struct {
	*cluster
	tenant   *cluster // has the role admin in its namespaces
	editor   *cluster // has the role edit there
	operator *cluster // may do everything to every object, but nothing by a verb of Bulkhead's own
	node     *cluster // a node
	opener   *cluster // may break the glass
	static   *cluster // an API server that has its policies on disk, seen by cluster-admin
}

const team = "team"

const tenants = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: nothing}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: nobody}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tenant, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: tenant}, {kind: ServiceAccount, name: spawner, namespace: %[1]s}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: editor, namespace: %[1]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: edit}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: editor}]
`

func newTenancy(t *testing.T) *tenancy {
	t.Helper()
	c := start(t)
	w := &tenancy{cluster: c, static: launchStatic(t)}
	c.applyAll(t, operator)
	c.namespace(t, team, nil)
	c.applyAll(t, fromBefore)
	waiver := func(container, expires string) map[string]any {
		return map[string]any{"owner": "team-lab", "ticket": "LAB-1", "reason": "no KVM yet", "expires": expires, "namespace": "waived",
			"selector": map[string]any{"app": container}, "containers": []any{container}, "allows": map[string]any{"boundary": "user-kernel"}}
	}
	vendor := map[string]any{"name": "vendor", "runtime": "kata", "handler": "kata", "manage": false}
	c.install(t, team, readPolicy(t, map[string]any{
		"spec.waivers":        []any{waiver("lab", "2999-01-01"), waiver("old", "2020-01-01")},
		"spec.runtimeClasses": append(managedClasses(), vendor),
	}))
	var isolation map[string]any
	readYAML(t, defaultPolicy, &isolation)
	if err := c.apply(t.Context(), &unstructured.Unstructured{Object: isolation}); err != nil {
		t.Fatal(err)
	}
	w.breakGlasses(t)
	c.namespace(t, "waived", nil)
	c.namespace(t, "floor", map[string]string{"bulkhead.dev/minimum-boundary": "user-kernel"})
	c.namespace(t, "fresh", map[string]string{"bulkhead": "excluded", "pod-security.kubernetes.io/enforce": "privileged"})
	for _, namespace := range []string{team, "waived", "floor", "fresh", "glass", "closed", "ended"} {
		c.applyAll(t, fmt.Sprintf(tenants, namespace))
	}
	c.applyAll(t, "{apiVersion: v1, kind: ServiceAccount, metadata: {name: spawner, namespace: team}}\n---\n{apiVersion: v1, kind: Node, metadata: {name: n1}}")
	w.tenant, w.editor, w.operator = c.as(t, "tenant"), c.as(t, "editor"), c.as(t, "operator")
	w.node = c.as(t, "system:node:n1", "system:nodes")
	w.controllers(t)
	w.await(t, "the roles admin and edit are what controllers make them", func(ctx context.Context) (bool, error) {
		for _, c := range []*cluster{w.tenant, w.editor} {
			_, _, err := c.try(ctx, pod(t, "fresh", nothing))
			if apierrors.IsForbidden(err) {
				return false, nil
			}
			if err != nil {
				return false, err
			}
		}
		return true, nil
	})
	return w
}

// managedClasses are those of the default policy.
func managedClasses() []any {
	return []any{
		map[string]any{"name": "gvisor", "runtime": "gvisor", "handler": "runsc"},
		map[string]any{"name": "kata", "runtime": "kata", "handler": "kata"},
		map[string]any{"name": "kata-fc", "runtime": "kata-fc", "handler": "kata-fc"},
	}
}

// secure is a container with the baseline.
func secure(name, image, more string) string {
	return "{name: " + name + ", image: " + image + ", securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}" + more + "}"
}

// securePod is a pod with the baseline: labels, fields of its spec, containers.
func securePod(labels, spec string, containers ...string) string {
	return "{metadata: {labels: {" + labels + "}}, spec: " + secureSpec(spec, containers...) + "}"
}

func secureSpec(spec string, containers ...string) string {
	if spec != "" {
		spec += ", "
	}
	return "{" + spec + "automountServiceAccountToken: false, securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}, containers: [" + strings.Join(containers, ", ") + "]}"
}

const notebookImage = "jupyter/base-notebook:1"

// creates tries to create a pod in a namespace as a tenant (dry run).
func creates(namespace, text string) func(*testing.T, *tenancy) (*unstructured.Unstructured, error) {
	return func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
		t.Helper()
		out, _, err := w.tenant.try(t.Context(), pod(t, namespace, text))
		return out, err
	}
}

// changes tries to change a pod of a tenant's that was admitted (dry run).
func changes(namespace string, who func(*tenancy) *cluster, text, subresource string, change func(*unstructured.Unstructured)) func(*testing.T, *tenancy) (*unstructured.Unstructured, error) {
	return func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
		t.Helper()
		resource, err := w.tenant.resource(pod(t, namespace, text))
		if err != nil {
			return nil, err
		}
		o, err := resource.Create(t.Context(), pod(t, namespace, text), metav1.CreateOptions{})
		if err != nil {
			t.Fatal("it is not admitted to begin with:", err)
		}
		defer func(resource dynamic.ResourceInterface) {
			now := int64(0)
			if err := resource.Delete(context.WithoutCancel(t.Context()), o.GetName(), metav1.DeleteOptions{GracePeriodSeconds: &now}); err != nil {
				t.Error(err)
			}
		}(resource)
		changed := o.DeepCopy()
		change(changed)
		if resource, err = who(w).resource(o); err != nil {
			return nil, err
		}
		var sub []string
		if subresource != "" {
			sub = []string{subresource}
		}
		return resource.Update(t.Context(), changed, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}, sub...)
	}
}

// does tries to create or replace an object, or to delete it (dry run).
func does(who func(*tenancy) *cluster, text string, gone bool) func(*testing.T, *tenancy) (*unstructured.Unstructured, error) {
	return func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
		t.Helper()
		o := object(t, text)
		admin, err := w.resource(o)
		if err != nil {
			return nil, err
		}
		resource, err := who(w).resource(o)
		if err != nil {
			return nil, err
		}
		if gone {
			return nil, resource.Delete(t.Context(), o.GetName(), metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
		}
		now, err := admin.Get(t.Context(), o.GetName(), metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return resource.Create(t.Context(), o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		}
		if err != nil {
			return nil, err
		}
		o.SetResourceVersion(now.GetResourceVersion())
		return resource.Update(t.Context(), o, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
	}
}

func byTenant(w *tenancy) *cluster   { return w.tenant }
func byEditor(w *tenancy) *cluster   { return w.editor }
func byOperator(w *tenancy) *cluster { return w.operator }

// TestBypass tries every way round the policy that is known, and holds
// docs/bypass.md to how each ends.
func TestBypass(t *testing.T) {
	w := newTenancy(t)
	var page strings.Builder
	page.WriteString(bypassPreface)
	fmt.Fprintf(&page, "\n%s\n", summary())
	for _, ch := range chapters() {
		fmt.Fprintf(&page, "\n## %s\n\n| attempt | how it ends |\n|---|---|\n", ch.title)
		for _, b := range ch.cases {
			t.Run(ch.title+"/"+b.name, func(t *testing.T) {
				fmt.Fprintf(&page, "| %s | %s |\n", cell(b.name), cell(w.attempt(t, b)))
			})
		}
	}
	t.Log(summary())
	if t.Failed() {
		return // the page is of no use
	}
	if *update {
		if err := os.WriteFile(bypassPage, []byte(page.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	now, err := os.ReadFile(bypassPage)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(now), page.String()); diff != "" {
		t.Errorf("docs/bypass.md says otherwise (-page +now); if that is meant: cd test/cluster && go test ./isolation -run TestBypass -update\n%s", diff)
	}
}

// summary counts the attempts by how they end.
func summary() string {
	all, each := 0, map[ending]int{}
	for _, ch := range chapters() {
		for _, b := range ch.cases {
			all++
			each[b.ends]++
		}
	}
	return fmt.Sprintf("%d attempts: %d denied by the policy, %d held to their boundary, %d refused by the API server itself, %d by RBAC, %d harmless, %d as it is meant, %d open.",
		all, each[denied], each[assigned], each[byServer], each[byRBAC], each[harmless], each[meant], each[open])
}

// attempt makes one attempt and says how it ends, which has to be as expected.
func (w *tenancy) attempt(t *testing.T, b bypass) string {
	t.Helper()
	out, err := b.try(t, w)
	got := ""
	if out != nil {
		got, _, _ = unstructured.NestedString(out.Object, "spec", "runtimeClassName")
	}
	why := reason(err)
	switch b.ends {
	case denied, byServer, byRBAC:
		if err == nil {
			t.Fatalf("it is a hole: it was let through, with RuntimeClass %q", got)
		}
		if policy := strings.Contains(err.Error(), "denied request: "); policy != (b.ends == denied) {
			t.Fatalf("not %s, but: %v", b.ends, err)
		}
		if rbac := strings.Contains(err.Error(), "User \"") && strings.Contains(err.Error(), " cannot ") || strings.Contains(err.Error(), "attempting to grant"); rbac != (b.ends == byRBAC) {
			t.Fatalf("not %s, but: %v", b.ends, err)
		}
		if !strings.Contains(why, b.says) {
			t.Fatalf("refused, but not for %q: %v", b.says, err)
		}
		if b.ends == byServer { // it goes on with the whole object
			why, _, _ = strings.Cut(why, "\n")
		}
		return string(b.ends) + ": " + why
	case assigned:
		if err != nil || got != b.says {
			t.Fatalf("it gets RuntimeClass %q, not %q: %v", got, b.says, err)
		}
		return string(b.ends) + " `" + got + "`"
	}
	if err != nil {
		t.Fatalf("it is closed, and the page says that it is not: %v", err)
	}
	if b.why == "" || got != b.says {
		t.Fatalf("RuntimeClass %q, not %q, because %q", got, b.says, b.why)
	}
	return string(b.ends) + ": " + b.why
}

var generatedName = regexp.MustCompile(`case-[a-z0-9]{5}`)

// reason is what an error says, without what differs from run to run.
func reason(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	for _, before := range []string{"denied request: ", " is forbidden: ", " is invalid: "} {
		if _, after, ok := strings.Cut(text, before); ok {
			text = after
			break
		}
	}
	return generatedName.ReplaceAllString(text, "case-x")
}

func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`)
}
