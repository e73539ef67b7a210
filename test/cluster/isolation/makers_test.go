package isolation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bulkhead-dev/bulkhead/test/cluster/apiserver"
)

// controllers starts what makes pods, with the CronJob, which makes its first
// one at the next full minute.
func (w *tenancy) controllers(t *testing.T) {
	t.Helper()
	if err := w.server.StartControllers(); err != nil {
		t.Fatal(err)
	}
	agents, err := apiserver.BuildAgentSandbox(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	w.applyCRDs(t, agents.CRDs)
	const user = "system:serviceaccount:agent-sandbox-system:controller"
	w.applyAll(t, `{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: agent-sandbox},
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}, subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "`+user+`"}]}`)
	kubeconfig, err := w.server.KubeconfigAs(user)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.server.StartAgentSandbox(agents, kubeconfig); err != nil {
		t.Fatal(err)
	}
	w.applyAll(t, cronJob)
}

// template is a pod template that executes code; its pods are known by the label.
func template(from, spec string) string {
	return "{metadata: {labels: {from: " + from + "}}, spec: " + secureSpec(spec, secure("a", notebookImage, "")) + "}"
}

func maker(version, kind, spec string) string {
	return fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: %s, namespace: team}, spec: {%s}}", version, kind, strings.ToLower(kind), spec)
}

func selecting(kind string) string {
	from := strings.ToLower(kind)
	return "selector: {matchLabels: {from: " + from + "}}, template: " + template(from, "")
}

var cronJob = maker("batch/v1", "CronJob", `schedule: "* * * * *", jobTemplate: {spec: {template: `+template("cronjob", "restartPolicy: Never")+"}}")

// makes applies an object and returns the first pod that comes of it.
func makes(text string) func(*testing.T, *tenancy) (*unstructured.Unstructured, error) {
	return func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
		t.Helper()
		o := object(t, text)
		if err := w.apply(t.Context(), o); err != nil {
			return nil, err
		}
		like, err := w.resource(pod(t, team, "{}"))
		if err != nil {
			return nil, err
		}
		var made *unstructured.Unstructured
		w.awaitFor(t, 90*time.Second, o.GetKind()+" makes a pod", func(ctx context.Context) (bool, error) {
			list, err := like.List(ctx, metav1.ListOptions{LabelSelector: "from=" + o.GetName()})
			if err != nil || len(list.Items) == 0 {
				return false, err
			}
			made = &list.Items[0]
			return true, nil
		})
		return made, nil
	}
}

// fromBefore is a Deployment that is there before the policy, without pods.
var fromBefore = strings.Replace(maker("apps/v1", "Deployment", "replicas: 0, selector: {matchLabels: {from: before}}, template: "+template("before", weak)), "name: deployment,", "name: before,", 1)

// scaled has a controller make pods of a template from before the policy, and
// returns what the controller says of it.
func scaled(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
	t.Helper()
	scale := []byte(`{"spec":{"replicas":1}}`)
	if _, err := w.tenant.client.AppsV1().Deployments(team).Patch(t.Context(), "before", types.MergePatchType, scale, metav1.PatchOptions{}); err != nil {
		return nil, err
	}
	var told error
	w.awaitFor(t, 90*time.Second, "the controller says what becomes of its pods", func(ctx context.Context) (bool, error) {
		list, err := w.tenant.client.CoreV1().Events(team).List(ctx, metav1.ListOptions{FieldSelector: "reason=FailedCreate"})
		if err != nil {
			return false, err
		}
		for _, event := range list.Items { // another's pods may be refused meanwhile, as the CronJob's by what "unassigned" does
			if strings.HasPrefix(event.InvolvedObject.Name, "before-") {
				told = errors.New(event.Message)
				return true, nil
			}
		}
		return false, nil
	})
	return nil, told
}

func controllerAttempts() []bypass {
	deployment := maker("apps/v1", "Deployment", selecting("Deployment"))
	held := func(name, text string) bypass { return bypass{name, makes(text), assigned, "kata-fc", ""} }
	return []bypass{
		{"a Deployment from before the policy, scaled up", scaled, denied, needsVM, ""},
		held("a Deployment", deployment),
		held("a StatefulSet", maker("apps/v1", "StatefulSet", "serviceName: a, "+selecting("StatefulSet"))),
		held("a DaemonSet", maker("apps/v1", "DaemonSet", selecting("DaemonSet"))),
		held("a ReplicaSet", maker("apps/v1", "ReplicaSet", selecting("ReplicaSet"))),
		held("a bare ReplicationController", maker("v1", "ReplicationController", "selector: {from: replicationcontroller}, template: "+template("replicationcontroller", ""))),
		held("a Job", maker("batch/v1", "Job", "template: "+template("job", "restartPolicy: Never"))),
		held("a Sandbox of agent-sandbox", maker("agents.x-k8s.io/v1alpha1", "Sandbox", "podTemplate: "+template("sandbox", ""))),
		{"a program that makes pods with its ServiceAccount", func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
			spawner := w.as(t, "system:serviceaccount:team:spawner", "system:serviceaccounts", "system:serviceaccounts:team")
			out, _, err := spawner.try(t.Context(), pod(t, team, securePod("", "", secure("a", notebookImage, ""))))
			return out, err
		}, assigned, "kata-fc", ""},
		{"a Deployment with a weaker RuntimeClass", func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
			return nil, w.tenant.apply(t.Context(), object(t, strings.Replace(deployment, "spec: {automount", "spec: {"+weak+", automount", 1)), metav1.DryRunAll)
		}, denied, needsVM, ""},
		held("a CronJob", cronJob),
	}
}

func timeAttempts() []bypass {
	return []bypass{
		{"pods are made while the policy is changed", changedUnderLoad, denied, needsVM, ""},
		{"pods are made while the API server is killed and starts again", killed, denied, needsVM, ""},
	}
}

// hammer creates weak pods (dry run) until ctx ends. It returns how many were
// answered by the policy, the last answer, and what was let through.
func (w *tenancy) hammer(ctx context.Context, t *testing.T) (answered, through int64, last error) {
	t.Helper()
	weakPod := pod(t, team, securePod("", weak, secure("a", notebookImage, "")))
	resource, err := w.tenant.resource(weakPod)
	if err != nil {
		t.Fatal(err)
	}
	var denials, holes atomic.Int64
	var reason atomic.Pointer[error]
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for ctx.Err() == nil {
				_, err := resource.Create(ctx, weakPod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
				switch {
				case err == nil:
					holes.Add(1)
				case strings.Contains(err.Error(), needsVM):
					denials.Add(1)
					reason.Store(&err)
				}
				select { // load enough
				case <-time.After(5 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	all.Wait()
	if p := reason.Load(); p != nil {
		last = *p
	}
	return denials.Load(), holes.Load(), last
}

func (w *tenancy) verdict(t *testing.T, answered, through int64, last error) (*unstructured.Unstructured, error) {
	t.Helper()
	t.Logf("%d pods were denied, %d let through", answered, through)
	if through > 0 || answered == 0 {
		return nil, nil
	}
	return nil, last
}

func changedUnderLoad(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var answered, through int64
	var last error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		answered, through, last = w.hammer(ctx, t)
	}()
	for _, class := range []string{"tool-calling", "code-execution"} { // in force one after the other
		w.install(t, team, readPolicy(t, map[string]any{"spec.unknown": class}))
	}
	cancel()
	<-ended
	return w.verdict(t, answered, through, last)
}

func killed(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
	if err := w.server.KillAPIServer(); err != nil {
		t.Fatal(err)
	}
	if err := w.server.StartAPIServer(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	go func() { // a while of answers is enough
		for ctx.Err() == nil {
			_, _, err := w.try(ctx, pod(t, team, securePod("", weak, secure("a", notebookImage, ""))))
			if err != nil && strings.Contains(err.Error(), needsVM) {
				select {
				case <-time.After(2 * time.Second):
				case <-ctx.Done():
				}
				cancel()
				return
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}()
	answered, through, last := w.hammer(ctx, t)
	return w.verdict(t, answered, through, last)
}
