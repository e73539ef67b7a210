// Package live holds `bulkhead check --cluster` against a real API server.
package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bulkhead-dev/bulkhead/test/cluster/apiserver"
)

// world is an API server, and the command line built for it.
type world struct {
	server   *apiserver.Server
	client   dynamic.Interface
	bulkhead string
}

func start(t *testing.T) *world {
	t.Helper()
	bin, err := apiserver.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	server, err := apiserver.Start(t.Context(), bin, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	})
	config, err := clientcmd.BuildConfigFromFlags("", server.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	config.QPS, config.Burst = 1000, 1000
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", dir+"/", "./cmd/bulkhead", "./cmd/bulkhead-decide", "./cmd/bulkhead-kube")
	build.Dir = filepath.Join("..", "..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	return &world{server, client, filepath.Join(dir, "bulkhead")}
}

// create makes an object, in the namespace default where it names none, and
// returns it.
func (w *world) create(t *testing.T, resource, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	gvr := o.GroupVersionKind().GroupVersion().WithResource(resource)
	var to dynamic.ResourceInterface = w.client.Resource(gvr)
	if !slices.Contains([]string{"clusterroles", "runtimeclasses", "namespaces", "customresourcedefinitions"}, resource) {
		namespace := o.GetNamespace()
		if namespace == "" {
			namespace = "default"
		}
		to = w.client.Resource(gvr).Namespace(namespace)
	}
	made, err := to.Create(t.Context(), o, metav1.CreateOptions{})
	if err != nil {
		t.Fatalf("creating %s %s: %v", resource, o.GetName(), err)
	}
	return made
}

type row struct{ File, Kind, Namespace, Name, RiskClass string }

// check runs the command line, and returns the workloads in the order of the
// report, standard error and the exit code.
func (w *world) check(t *testing.T, kubeconfig string, args ...string) (rows []row, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), w.bulkhead, append([]string{"check", "--cluster", "-o", "json"}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	var report struct{ Workloads []row }
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	return report.Workloads, errs.String(), code
}

func names(rows []row) []string {
	out := []string{}
	for _, r := range rows {
		out = append(out, r.Namespace+"/"+r.Kind+"/"+r.Name+" "+r.RiskClass)
	}
	slices.Sort(out)
	return out
}

const pod = "metadata: {labels: {app: %[1]s}}, spec: {containers: [{name: c, image: %[2]s}]}"

func deployment(name, image string) string {
	return fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %[1]s}\nspec: {selector: {matchLabels: {app: %[1]s}}, template: {"+pod+"}}\n", name, image)
}

// ownedBy is the metadata of what a controller made.
func ownedBy(o *unstructured.Unstructured, name string) string {
	return fmt.Sprintf("{name: %s, labels: {app: x}, ownerReferences: [{apiVersion: %s, kind: %s, name: %s, uid: %s, controller: true}]}",
		name, o.GetAPIVersion(), o.GetKind(), o.GetName(), o.GetUID())
}

// TestCheckOfACluster: every workload is read once, by the object at the top of
// what its controllers made; the objects around it count; more than one page is
// read; a kind that is not installed is no error.
func TestCheckOfACluster(t *testing.T) {
	w := start(t)
	w.create(t, "serviceaccounts", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default}\n")
	d := w.create(t, "deployments", deployment("notebook", "jupyter/base-notebook"))
	rs := w.create(t, "replicasets", "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: "+ownedBy(d, "notebook-1")+"\nspec: {selector: {matchLabels: {app: x}}, template: {"+fmt.Sprintf(pod, "x", "jupyter/base-notebook")+"}}\n")
	w.create(t, "pods", "apiVersion: v1\nkind: Pod\nmetadata: "+ownedBy(rs, "notebook-1-a")+"\nspec: {containers: [{name: c, image: jupyter/base-notebook}]}\n")
	w.create(t, "namespaces", "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n")
	w.create(t, "serviceaccounts", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default, namespace: other}\n")
	w.create(t, "pods", "apiVersion: v1\nkind: Pod\nmetadata: {name: alone, namespace: other}\nspec: {containers: [{name: c, image: nginx}]}\n")
	agents(t, w)

	rows, stderr, code := w.check(t, w.server.Kubeconfig())
	want := []string{
		"default/Agent/helper tool-calling",
		"default/Deployment/notebook code-execution",
		"other/Pod/alone none",
	}
	if diff := cmp.Diff(want, names(rows)); diff != "" || code != 1 {
		t.Errorf("exit code %d\n%s\n%s", code, diff, stderr)
	}
	for _, r := range rows {
		if want := "cluster:" + r.Namespace + "/" + r.Kind + "/" + r.Name; r.File != want {
			t.Errorf("%s is in %q, want %q", r.Name, r.File, want)
		}
	}
	rows, stderr, code = w.check(t, w.server.Kubeconfig(), "-n", "other")
	if diff := cmp.Diff([]string{"other/Pod/alone none"}, names(rows)); diff != "" || code != 0 {
		t.Errorf("-n other: exit code %d\n%s\n%s", code, diff, stderr)
	}

	for i := range 1100 {
		w.create(t, "pods", fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: p%04d, namespace: other}\nspec: {containers: [{name: c, image: nginx}]}\n", i))
	}
	if rows, stderr, _ = w.check(t, w.server.Kubeconfig(), "-n", "other"); len(rows) != 1101 {
		t.Errorf("%d workloads, want 1101\n%s", len(rows), stderr)
	}
}

// agents installs a kind of workload, and an object of it that owns a Deployment.
func agents(t *testing.T, w *world) {
	t.Helper()
	w.create(t, "customresourcedefinitions", `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: agents.kagent.dev}
spec:
  group: kagent.dev
  scope: Namespaced
  names: {plural: agents, singular: agent, kind: Agent, listKind: AgentList}
  versions:
  - name: v1alpha2
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`)
	gvr := schema.GroupVersionResource{Group: "kagent.dev", Version: "v1alpha2", Resource: "agents"}
	for { // until the kind is served
		_, err := w.client.Resource(gvr).List(t.Context(), metav1.ListOptions{})
		if err == nil {
			break
		}
		if errors.Is(t.Context().Err(), context.DeadlineExceeded) {
			t.Fatal(err)
		}
	}
	agent := w.create(t, "agents", "apiVersion: kagent.dev/v1alpha2\nkind: Agent\nmetadata: {name: helper}\nspec: {type: Declarative, declarative: {}}\n")
	text := deployment("helper", "registry.example/adk:1")
	w.create(t, "deployments", strings.Replace(text, "{name: helper}", ownedBy(agent, "helper"), 1))
}

// TestWhatAClusterRefuses: a list that is forbidden is an error that names verb
// and resource, and the rest is read; a cluster that is away is one error.
func TestWhatAClusterRefuses(t *testing.T) {
	w := start(t)
	w.create(t, "serviceaccounts", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default}\n")
	w.create(t, "pods", "apiVersion: v1\nkind: Pod\nmetadata: {name: seen}\nspec: {containers: [{name: c, image: nginx}]}\n")
	w.create(t, "clusterroles", "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: pods}\nrules: [{apiGroups: [''], resources: [pods], verbs: [list]}]\n")
	if _, err := w.client.Resource(schema.GroupVersionResource{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"}).Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": map[string]any{"name": "pods"},
		"roleRef":  map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "pods"},
		"subjects": []any{map[string]any{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "reader"}},
	}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	rows, stderr, code := w.check(t, changed(t, w, func(c *kubeconfig) { c.Users[0].User["as"] = "reader" }))
	if diff := cmp.Diff([]string{"default/Pod/seen none"}, names(rows)); diff != "" || code != 2 {
		t.Errorf("exit code %d\n%s", code, diff)
	}
	for _, want := range []string{
		"bulkhead: cluster:deployments.apps: cannot list deployments.apps: ",
		"is forbidden",
		"  next: let this account list deployments.apps, or choose a namespace with -n or another account with --context\n",
	} {
		if !strings.Contains(stderr, want) {
			t.Errorf("no %q in\n%s", want, stderr)
		}
	}
	if strings.Contains(stderr, "list pods:") {
		t.Errorf("pods are refused:\n%s", stderr)
	}

	rows, stderr, code = w.check(t, changed(t, w, func(c *kubeconfig) { c.Clusters[0].Cluster["server"] = "https://127.0.0.1:1" }))
	if len(rows) != 0 || code != 2 || strings.Count(stderr, "bulkhead: ") != 1 || !strings.Contains(stderr, "the cluster at https://127.0.0.1:1 does not answer: ") {
		t.Errorf("a cluster that is away: exit code %d, %d workloads\n%s", code, len(rows), stderr)
	}
	_, stderr, code = w.check(t, w.server.Kubeconfig(), "--context", "nowhere")
	if code != 2 || !strings.Contains(stderr, `context "nowhere" does not exist`) || !strings.Contains(stderr, "  next: check --kubeconfig, --context") {
		t.Errorf("a context that is not there: exit code %d\n%s", code, stderr)
	}
}

type kubeconfig struct {
	APIVersion     string `json:"apiVersion"`
	Kind           string `json:"kind"`
	CurrentContext string `json:"current-context"`
	Clusters       []struct {
		Name    string         `json:"name"`
		Cluster map[string]any `json:"cluster"`
	} `json:"clusters"`
	Contexts []any `json:"contexts"`
	Users    []struct {
		Name string         `json:"name"`
		User map[string]any `json:"user"`
	} `json:"users"`
}

// changed writes another kubeconfig.
func changed(t *testing.T, w *world, change func(*kubeconfig)) string {
	t.Helper()
	text, err := os.ReadFile(w.server.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	var c kubeconfig
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	change(&c)
	if text, err = yaml.Marshal(c); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
