package isolation

import (
	"context"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// operator is a role that may do everything to every object, but nothing by a
// verb of Bulkhead's own.
const operator = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: operator}
rules: [{apiGroups: ["*"], resources: ["*"], verbs: [get, list, create, update, patch, delete, deletecollection]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: operator}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: operator}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: operator}]
`

// as is the cluster as another user sees it.
func (c *cluster) as(t *testing.T, user string, groups ...string) *cluster {
	t.Helper()
	other := &cluster{server: c.server, config: rest.CopyConfig(c.config)}
	other.config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	other.connect(t)
	other.mapper = c.mapper
	return other
}

// applyAll applies the objects of a stream.
func (c *cluster) applyAll(t *testing.T, stream string) {
	t.Helper()
	for text := range strings.SplitSeq(stream, "\n---\n") {
		if err := c.apply(t.Context(), object(t, text)); err != nil {
			t.Fatal(err)
		}
	}
}

// change tries a request (dry run): an object that is not there is created, one
// that is there is replaced, and one of which only the metadata are given and
// gone is true is deleted.
func (c *cluster) change(t *testing.T, text string, gone bool) error {
	t.Helper()
	o := object(t, text)
	resource, err := c.resource(o)
	if err != nil {
		t.Fatal(err)
	}
	if gone {
		return resource.Delete(t.Context(), o.GetName(), metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}})
	}
	now, err := resource.Get(t.Context(), o.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		_, err = resource.Create(t.Context(), o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	if err != nil {
		t.Fatal(err)
	}
	o.SetResourceVersion(now.GetResourceVersion())
	_, err = resource.Update(t.Context(), o, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// changeCase is a request to an object that is guarded.
type changeCase struct {
	name, object string
	gone         bool
	denied       string // a part of the reason; "" for what is allowed
}

func (c *cluster) runChanges(t *testing.T, cases []changeCase) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			err := c.change(t, tt.object, tt.gone)
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
}

func networkPolicy(name, selector, egress string) string {
	return "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: " + name + ", namespace: team}, spec: {policyTypes: [Egress], podSelector: " + selector + ", egress: " + egress + "}}"
}

const (
	everybody  = "{}"
	unconfined = "{matchExpressions: [{key: bulkhead.dev/enforced-class, operator: DoesNotExist}]}"
	gateway    = "[{ports: [{port: 443}], to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: model-gateway}}, podSelector: {matchLabels: {app: proxy}}}]}]"
)

func TestGuards(t *testing.T) {
	c := start(t)
	c.applyAll(t, operator)
	c.install(t, "team", readPolicy(t, map[string]any{"spec.namespaces.exclude": []any{"kube-*"}}))
	c.namespace(t, "floor", map[string]string{"bulkhead.dev/minimum-boundary": "user-kernel", "team": "a"})
	tenant := c.as(t, "operator")
	labels := "takes the verb administer"
	own := networkPolicy("bulkhead-egress-retrieval", everybody, "[{}]")
	opens := "opens egress that their IsolationPolicy does not"
	secret := func(name string) string {
		return "{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token, metadata: {name: " + name + ", namespace: team, annotations: {kubernetes.io/service-account.name: default}}}"
	}
	class := func(name, handler string) string {
		return "{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: " + name + "}, handler: " + handler + "}"
	}
	tenant.runChanges(t, []changeCase{
		{"a namespace", "{apiVersion: v1, kind: Namespace, metadata: {name: other, labels: {team: a}}}", false, ""},
		{"a namespace with a floor", "{apiVersion: v1, kind: Namespace, metadata: {name: other, labels: {bulkhead.dev/minimum-boundary: shared-kernel}}}", false, labels},
		{"a floor is lowered", "{apiVersion: v1, kind: Namespace, metadata: {name: floor, labels: {bulkhead.dev/minimum-boundary: shared-kernel}}}", false, labels},
		{"a floor is taken away", "{apiVersion: v1, kind: Namespace, metadata: {name: floor}}", false, labels},
		{"another label is taken away", "{apiVersion: v1, kind: Namespace, metadata: {name: floor, labels: {bulkhead.dev/minimum-boundary: user-kernel}}}", false, ""},
		{"Bulkhead's namespace", "{apiVersion: v1, kind: Namespace, metadata: {name: bulkhead-system}}", false, "policies do not hold for a namespace of this name"},
		{"a namespace that is out of scope", "{apiVersion: v1, kind: Namespace, metadata: {name: kube-mine}}", false, "policies do not hold for a namespace of this name"},
		{"a node", "{apiVersion: v1, kind: Node, metadata: {name: a}}", false, ""},
		{"a node with a label of Bulkhead's", "{apiVersion: v1, kind: Node, metadata: {name: a, labels: {bulkhead.dev/runtime: kata}}}", false, labels},

		{"a RuntimeClass", class("mine", "kata-fc"), false, ""},
		{"a trusted RuntimeClass is deleted", class("kata", "kata"), true, "take it out of the policy first"},
		{"a trusted RuntimeClass as it is", class("kata", "kata"), false, ""},

		{"an ordinary Secret", "{apiVersion: v1, kind: Secret, metadata: {name: a, namespace: team}}", false, ""},
		{"a token that is known by its name", secret("default-token-abc12"), false, ""},
		{"a token under another name", secret("harmless"), false, "Secrets named NAME-token-abcde"},

		{"everything for everybody", networkPolicy("open", everybody, "[{}]"), false, opens},
		{"everything for who is not limited", networkPolicy("open", unconfined, "[{}]"), false, ""},
		{"everything for a class that is not limited", networkPolicy("open", "{matchLabels: {bulkhead.dev/enforced-class: inference}}", "[{}]"), false, ""},
		{"everything for a limited class", networkPolicy("open", "{matchExpressions: [{key: bulkhead.dev/enforced-class, operator: In, values: [retrieval]}]}", "[{}]"), false, opens},
		{"everything for all but a limited class", networkPolicy("open", "{matchExpressions: [{key: bulkhead.dev/enforced-class, operator: NotIn, values: [retrieval]}]}", "[{}]"), false, opens},
		{"everything for a label", networkPolicy("open", "{matchLabels: {app: a}}", "[{}]"), false, opens},
		{"nothing for everybody", networkPolicy("closed", everybody, "[]"), false, ""},
		{"a peer of the policy", networkPolicy("gateway", everybody, gateway), false, ""},
		{"its port over another protocol", networkPolicy("gateway", everybody, strings.Replace(gateway, "port: 443", "port: 443, protocol: UDP", 1)), false, opens},
		{"another port of a peer", networkPolicy("gateway", everybody, strings.Replace(gateway, "port: 443", "port: 80", 1)), false, opens},
		{"more ports of a peer", networkPolicy("gateway", everybody, strings.Replace(gateway, "port: 443", "port: 443, endPort: 444", 1)), false, opens},
		{"every port of a peer", networkPolicy("gateway", everybody, strings.Replace(gateway, "ports: [{port: 443}], ", "", 1)), false, opens},
		{"a namespace by a label of a tenant", networkPolicy("gateway", everybody, strings.Replace(gateway, "kubernetes.io/metadata.name: model-gateway", "team: a", 1)), false, opens},
		{"another namespace", networkPolicy("gateway", everybody, strings.Replace(gateway, "model-gateway", "team", 1)), false, opens},
		{"addresses", networkPolicy("addresses", everybody, "[{ports: [{port: 443}], to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]"), false, opens},
		{"pods beside it", networkPolicy("beside", everybody, "[{ports: [{port: 443}], to: [{podSelector: {}}]}]"), false, opens},
		{"DNS", networkPolicy("dns", everybody, "[{ports: [{port: 53, protocol: UDP}], to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]}]"), false, ""},
		{"a limit is opened", own, false, "takes the verb administer"},
		{"a limit is deleted", own, true, "takes the verb administer"},
	})
	if err := tenant.deleteAll(t, own); !apierrors.IsForbidden(err) {
		t.Error("all limits of a namespace are deleted:", err)
	}
	c.runChanges(t, []changeCase{
		{"an administrator lowers a floor", "{apiVersion: v1, kind: Namespace, metadata: {name: floor}}", false, ""},
		{"an administrator deletes a limit", own, true, ""},
		{"an administrator opens a limit", own, false, opens},
	})
	t.Run("another handler under a trusted name", func(t *testing.T) {
		c.install(t, "team", readPolicy(t, map[string]any{"spec.runtimeClasses": []any{
			map[string]any{"name": "vendor", "runtime": "kata", "handler": "kata", "manage": false}}, "spec.routes": []any{}}))
		c.runChanges(t, []changeCase{
			{"weaker", class("vendor", "runc"), false, "trusts RuntimeClass vendor to have handler kata, and this one has runc"},
			{"as it is trusted", class("vendor", "kata"), false, ""},
		})
	})
	t.Run("a namespace can end", c.aNamespaceCanEnd)
}

// aNamespaceCanEnd: what is guarded goes with its namespace.
func (c *cluster) aNamespaceCanEnd(t *testing.T) {
	if err := c.client.CoreV1().Namespaces().Delete(t.Context(), "team", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	limit := networkPolicy("bulkhead-egress-retrieval", everybody, "[]")
	tenant := c.as(t, "operator")
	c.await(t, "a limit of a namespace that ends can be deleted", func(context.Context) (bool, error) {
		err := tenant.change(t, limit, true)
		if apierrors.IsForbidden(err) {
			return false, nil // the API server looks namespaces up in a cache
		}
		return err == nil, err
	})
}

// deleteAll deletes everything of a kind in a namespace (dry run).
func (c *cluster) deleteAll(t *testing.T, like string) error {
	t.Helper()
	o := object(t, like)
	resource, err := c.resource(o)
	if err != nil {
		t.Fatal(err)
	}
	return resource.DeleteCollection(t.Context(), metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}, metav1.ListOptions{})
}
