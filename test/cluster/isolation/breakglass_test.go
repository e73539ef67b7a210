package isolation

import (
	"context"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func breakGlass(namespace, name string, lasts time.Duration) string {
	return "{apiVersion: bulkhead.dev/v1alpha1, kind: BreakGlass, metadata: {name: " + name + ", namespace: " + namespace +
		"}, spec: {reason: the nodes with KVM are down, expires: \"" + time.Now().Add(lasts).UTC().Format(time.RFC3339) + "\"}}"
}

func TestBreakGlass(t *testing.T) {
	c := start(t)
	c.applyAll(t, operator)
	c.namespace(t, "other", nil)
	c.install(t, "team", readPolicy(t, nil))
	c.as(t, "operator").runChanges(t, []changeCase{
		{"without the verb", breakGlass("team", "break-glass", time.Hour), false, "takes the verb open on breakglasses.bulkhead.dev"},
	})
	c.runChanges(t, []changeCase{
		{"for an hour", breakGlass("team", "break-glass", time.Hour), false, ""},
		{"for too long", breakGlass("team", "break-glass", 25*time.Hour), false, "it lasts longer than 24h0m0s"},
	})
	if err := c.change(t, breakGlass("team", "another", time.Hour), false); !apierrors.IsInvalid(err) {
		t.Error("one of another name:", err)
	}
	broken := strings.Replace(notebook, "{spec: ", "{metadata: {labels: {bulkhead.dev/break-glass: LAB-1}}, spec: ", 1)
	denied := func(namespace, part string) {
		t.Helper()
		if _, _, err := c.try(t.Context(), pod(t, namespace, broken)); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("in %s: not denied for %q: %v", namespace, part, err)
		}
	}
	denied("team", "no params found")
	if err := c.apply(t.Context(), object(t, breakGlass("team", "break-glass", 20*time.Second))); err != nil {
		t.Fatal(err)
	}
	c.await(t, "the glass is broken", func(ctx context.Context) (bool, error) {
		out, warned, err := c.try(ctx, pod(t, "team", broken))
		if err == nil && !strings.Contains(strings.Join(warned, " "), "no isolation policy holds for this pod") {
			t.Error("nobody is told:", warned)
		}
		if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
			return false, nil
		}
		if err == nil && out.Object["spec"].(map[string]any)["runtimeClassName"] != nil {
			t.Error("it gets a RuntimeClass that it does not name")
		}
		return err == nil, err
	})
	denied("other", "no params found")
	if _, _, err := c.try(t.Context(), pod(t, "team", model)); !apierrors.IsForbidden(err) {
		t.Error("a pod that does not say so:", err)
	}
	if _, _, err := c.try(t.Context(), controller(t, "team", "apps/v1", "Deployment", broken)); err != nil {
		t.Error("a Deployment of such pods:", err)
	}
	resource, err := c.resource(pod(t, "team", broken))
	if err != nil {
		t.Fatal(err)
	}
	stored, err := resource.Create(t.Context(), pod(t, "team", broken), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	setImage(stored, "jupyter/base-notebook:2")
	if _, err := resource.Update(t.Context(), stored, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}); !apierrors.IsForbidden(err) {
		t.Error("an update of such a pod:", err)
	}
	c.await(t, "the glass is whole again", func(ctx context.Context) (bool, error) {
		_, _, err := c.try(ctx, pod(t, "team", broken))
		if apierrors.IsForbidden(err) {
			return strings.Contains(err.Error(), "the BreakGlass of this namespace ended at"), nil
		}
		return false, err
	})
}
