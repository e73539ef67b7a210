package isolation

import (
	"context"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// opener is who may break the glass, by the role of docs/policy.md.
const opener = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: bulkhead-break-glass}
rules:
- {apiGroups: [bulkhead.dev], resources: [breakglasses], verbs: [create, delete, get, list, open]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: bulkhead-break-glass}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: bulkhead-break-glass}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: opener}]
`

// ended is when the BreakGlass of namespace ended did.
const ended = "2020-01-01T00:00:00Z"

func breakGlass(namespace, name, expires string) string {
	return "{apiVersion: bulkhead.dev/v1alpha1, kind: BreakGlass, metadata: {name: " + name + ", namespace: " + namespace +
		"}, spec: {reason: the nodes with KVM are down, expires: \"" + expires + "\"}}"
}

func later(d time.Duration) string { return time.Now().Add(d).UTC().Format(time.RFC3339) }

// breakGlasses makes the namespaces of glassAttempts: one with a BreakGlass, one
// with one that has ended, one with one that will be deleted.
func (w *tenancy) breakGlasses(t *testing.T) {
	t.Helper()
	w.applyAll(t, opener)
	w.opener = w.as(t, "opener")
	for _, namespace := range []string{"glass", "closed"} {
		w.namespace(t, namespace, nil)
		if err := w.apply(t.Context(), object(t, breakGlass(namespace, "break-glass", later(time.Hour)))); err != nil {
			t.Fatal(err)
		}
	}
	w.namespace(t, "ended", nil)
	if err := w.apply(t.Context(), object(t, breakGlass("ended", "break-glass", ended))); err != nil {
		t.Fatal(err)
	}
}

func glassAttempts() []bypass {
	nb := secure("a", notebookImage, "")
	plain := securePod("", weak, nb)
	broken := securePod("bulkhead.dev/break-glass: LAB-1", weak, nb)
	hour := later(time.Hour)
	longer := func(who func(*tenancy) *cluster) func(*testing.T, *tenancy) (*unstructured.Unstructured, error) {
		return does(who, breakGlass("glass", "break-glass", later(2*time.Hour)), false)
	}
	deployment := maker("apps/v1", "Deployment", "selector: {matchLabels: {from: deployment}}, template: {metadata: {labels: {from: deployment, bulkhead.dev/break-glass: LAB-1}}, spec: "+secureSpec(weak, nb)+"}")
	return []bypass{
		{"a tenant breaks the glass", does(byTenant, breakGlass(team, "break-glass", hour), false), byRBAC, "", ""},
		{"an operator breaks it, who may create everything", does(byOperator, breakGlass(team, "break-glass", hour), false), denied, "takes the verb open on breakglasses.bulkhead.dev", ""},
		{"who has the verb open breaks it", does(byOpener, breakGlass(team, "break-glass", hour), false), meant, "", "for one namespace and a day at most, with a reason; the audit log has it"},
		{"it is broken for longer than a day", does(byOpener, breakGlass(team, "break-glass", later(25*time.Hour)), false), denied, "it lasts longer than 24h0m0s", ""},
		{"it is broken under another name", does(byOpener, breakGlass(team, "mine", hour), false), byServer, "it is named break-glass", ""},
		{"a BreakGlass is made to last longer by who made it", longer(byOpener), byRBAC, "", ""},
		{"a BreakGlass is made to last longer by an operator", longer(byOperator), byServer, "it cannot be changed", ""},
		{"a pod that says so, where the glass is broken", whenBroken("glass", broken), meant, "gvisor", "it is held to no policy for pods, and whoever creates it is told; the audit log has why, and the metrics count it"},
		{"a Deployment of such pods", func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
			o := object(t, deployment)
			o.SetNamespace("glass")
			_, _, err := w.tenant.try(t.Context(), o)
			return nil, err
		}, meant, "", "its template is not judged; each pod needs the BreakGlass when it is created"},
		{"a pod there that does not say so", creates("glass", plain), denied, needsVM, ""},
		{"such a pod gets another image later", changes("glass", byTenant, broken, "", func(o *unstructured.Unstructured) { setImage(o, "jupyter/base-notebook:2") }), denied, needsVM, ""},
		{"a pod that says so in another namespace", creates(team, broken), denied, "no params found", ""},
		{"a pod that says so where it has ended", creates("ended", broken), denied, "the BreakGlass of this namespace ended at " + ended, ""},
		{"the BreakGlass is deleted while it is in use", deletedInUse(broken), denied, "no params found", ""},
	}
}

func byOpener(w *tenancy) *cluster { return w.opener }

// whenBroken creates a pod as soon as the API server knows the BreakGlass of its
// namespace (dry run).
func whenBroken(namespace, text string) func(*testing.T, *tenancy) (*unstructured.Unstructured, error) {
	return func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
		t.Helper()
		var out *unstructured.Unstructured
		var told []string
		w.await(t, "the glass is broken", func(ctx context.Context) (bool, error) {
			var err error
			out, told, err = w.tenant.try(ctx, pod(t, namespace, text))
			if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
				return false, nil
			}
			return err == nil, err
		})
		if !strings.Contains(strings.Join(told, " "), "no isolation policy holds for this pod") {
			t.Error("nobody is told:", told)
		}
		return out, nil
	}
}

// deletedInUse deletes a BreakGlass under which a pod runs, and tries another pod.
func deletedInUse(text string) func(*testing.T, *tenancy) (*unstructured.Unstructured, error) {
	return func(t *testing.T, w *tenancy) (out *unstructured.Unstructured, last error) {
		t.Helper()
		if _, err := whenBroken("closed", text)(t, w); err != nil {
			return nil, err
		}
		pods, err := w.tenant.resource(pod(t, "closed", text))
		if err != nil {
			return nil, err
		}
		running, err := pods.Create(t.Context(), pod(t, "closed", text), metav1.CreateOptions{})
		if err != nil {
			return nil, err
		}
		o := object(t, breakGlass("closed", "break-glass", ended))
		glass, err := w.opener.resource(o)
		if err != nil {
			return nil, err
		}
		if err := glass.Delete(t.Context(), o.GetName(), metav1.DeleteOptions{}); err != nil {
			return nil, err
		}
		w.await(t, "the glass is whole again", func(ctx context.Context) (bool, error) {
			_, _, last = w.tenant.try(ctx, pod(t, "closed", text))
			if apierrors.IsForbidden(last) || apierrors.IsInvalid(last) {
				return true, nil
			}
			return false, last
		})
		if _, err := pods.Get(t.Context(), running.GetName(), metav1.GetOptions{}); err != nil {
			t.Error("the pod from before is gone:", err)
		}
		return nil, last
	}
}
