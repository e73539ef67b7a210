package live

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/internal/harden"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// restricted is a namespace that enforces Pod Security "restricted".
const restricted = "restricted"

// TestHardenedIsAccepted: the API server accepts every pod that `harden` rewrote,
// in a namespace that enforces Pod Security "restricted", except where a finding
// says why not; and every object that it adds. Kinds of other API groups are not
// installed, and pods are made by controllers that do not run: a workload's pod
// template is sent as a Pod.
func TestHardenedIsAccepted(t *testing.T) {
	w := start(t)
	w.create(t, "namespaces", "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+restricted+", labels: {pod-security.kubernetes.io/enforce: restricted}}\n")
	for _, name := range []string{"gvisor", "kata", "kata-fc"} {
		w.create(t, "runtimeclasses", "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: "+name+"}\nhandler: "+name+"\n")
	}
	decider, err := decide.New(config.Default(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	a := &acceptance{world: w, decider: decider, added: map[string]int{}}
	for _, path := range manifests(t) {
		a.file(t, path)
	}
	t.Logf("of %d pods %d were accepted before and %d are after; %d are refused with a finding or a reason that says why, %d are no valid pods, before and after",
		a.pods, a.before, a.after, a.explained, a.invalid)
	t.Logf("added and accepted: %v", a.added)
	corpus := os.Getenv("BULKHEAD_CORPUS") != "" // no example talks to the API server
	if a.after <= a.before || a.after*10 < a.pods*8 || a.added["NetworkPolicy"] == 0 || a.added["ServiceAccount"] == 0 || corpus && a.added["Role"] == 0 {
		t.Errorf("this is less than was promised")
	}
}

// manifests are the files of the examples, and of the corpus where there is one.
func manifests(t *testing.T) []string {
	t.Helper()
	globs := []string{filepath.Join("..", "..", "..", "examples", "*", "*.yaml")}
	if root := os.Getenv("BULKHEAD_CORPUS"); root != "" {
		globs = append(globs, filepath.Join(root, "cases", "*.yaml"))
	} else {
		t.Log("BULKHEAD_CORPUS does not name a folder of manifests: the examples alone")
	}
	var out []string
	for _, glob := range globs {
		paths, err := filepath.Glob(glob)
		if err != nil || len(paths) == 0 {
			t.Fatal(glob, err)
		}
		out = append(out, paths...)
	}
	return out
}

type acceptance struct {
	world   *world
	decider *decide.Decider

	// judged, where it is set, reports whether a denial is what check says; raw is
	// given each pod as it was.
	judged func(*testing.T, decide.Decision, error) bool
	raw    func(*testing.T, string, *manifest.Workload)

	pods, before, after, explained, invalid int
	// guarded counts NetworkPolicies that open more than an IsolationPolicy does.
	guarded int
	added   map[string]int
}

// file hardens one file and sends what comes of it.
func (a *acceptance) file(t *testing.T, path string) {
	t.Helper()
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	target := filepath.Join(dir, "manifest.yaml")
	if err := os.WriteFile(target, old, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), a.world.bulkhead, "harden", "--all", "--write", target)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() > 2) {
		t.Fatalf("%s: %v\n%s", path, err, out)
	}
	was := a.decide(t, manifest.Read(target, bytes.NewReader(old), manifest.DefaultLimits()).Objects)
	var objects []*manifest.Object
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		read := manifest.Read(filepath.Join(dir, f.Name()), bytes.NewReader(text), manifest.DefaultLimits()).Objects
		if f.Name() != filepath.Base(target) {
			a.add(t, path, read)
		}
		objects = append(objects, read...)
	}
	is := a.decide(t, objects)
	plans, err := harden.Plans(is, true)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range is.Decisions {
		kept := slices.ContainsFunc(plans, func(p harden.Plan) bool { return p.Decision.Workload == d.Workload && p.Kept != "" })
		for k, pod := range d.Pods {
			if pod.Source != d.Workload.Object || pod.Bare != "" {
				continue
			}
			a.pods++
			a.ownClass(t, was.Decisions[i].Pods[k])
			if a.raw != nil {
				a.raw(t, filepath.Base(path), was.Decisions[i].Pods[k])
			}
			before := a.send(t, was.Decisions[i].Pods[k])
			if before == nil {
				a.before++
			}
			err := a.send(t, pod)
			switch {
			case err == nil:
				a.after++
			case apierrors.IsInvalid(before) && apierrors.IsInvalid(err):
				a.invalid++
				t.Logf("%s: %s/%s: %v", filepath.Base(path), d.Row.Kind, d.Row.Name, err)
			case kept || says(d, err) || a.judged != nil && a.judged(t, d, err):
				a.explained++
				t.Logf("%s: %s/%s: %v", filepath.Base(path), d.Row.Kind, d.Row.Name, err)
			default:
				t.Errorf("%s: %s/%s is refused, and nothing says why: %v\n%+v", filepath.Base(path), d.Row.Kind, d.Row.Name, err, d.Row.Findings)
			}
		}
	}
}

func (a *acceptance) decide(t *testing.T, objects []*manifest.Object) decide.Outcome {
	t.Helper()
	out, err := a.decider.Decide(objects)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// add sends the objects of a file that harden made.
func (a *acceptance) add(t *testing.T, path string, objects []*manifest.Object) {
	t.Helper()
	resources := map[string]schema.GroupVersionResource{
		"NetworkPolicy":  {Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
		"ServiceAccount": {Version: "v1", Resource: "serviceaccounts"},
		"Role":           {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "roles"},
		"RoleBinding":    {Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "rolebindings"},
	}
	if len(objects) == 0 {
		t.Errorf("%s: a file was added that has no object", path)
	}
	for _, o := range objects {
		gvr, ok := resources[o.Kind]
		if !ok {
			t.Errorf("%s: a %s was added", path, o.Kind)
			continue
		}
		sent := &unstructured.Unstructured{Object: o.Whole().Value}
		sent.SetNamespace(restricted)
		err := dryRun(t, a.world.client.Resource(gvr), sent)
		if a.judged != nil && apierrors.IsForbidden(err) && strings.Contains(err.Error(), "opens egress that their IsolationPolicy does not") {
			a.guarded++
			continue
		}
		if err != nil && !apierrors.IsAlreadyExists(err) { // which is said of a valid object
			t.Errorf("%s: %s/%s: %v", path, o.Kind, o.Name, err)
			continue
		}
		a.added[o.Kind]++
	}
}

// ownClass makes the RuntimeClass that a pod named before: its cluster has it.
func (a *acceptance) ownClass(t *testing.T, w *manifest.Workload) {
	t.Helper()
	name, _ := manifest.Lookup(w.Pod, manifest.Path{"spec", "runtimeClassName"})
	if name, ok := name.(string); ok && name != "" {
		gvr := schema.GroupVersionResource{Group: "node.k8s.io", Version: "v1", Resource: "runtimeclasses"}
		if _, err := a.world.client.Resource(gvr).Get(t.Context(), name, metav1.GetOptions{}); err == nil {
			return
		}
		if err := a.make(t, gvr, "", "node.k8s.io/v1", "RuntimeClass", name, map[string]any{"handler": "own"}); err != nil {
			t.Fatal(err)
		}
	}
}

// send creates a pod, as a dry run, after the account and the priority class that
// it names.
func (a *acceptance) send(t *testing.T, w *manifest.Workload) error {
	t.Helper()
	sent, err := a.pod(t, w, restricted)
	if err != nil {
		return err
	}
	return dryRun(t, a.world.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}), sent)
}

// pod is the pod of a workload, with what it names made in the namespace.
func (a *acceptance) pod(t *testing.T, w *manifest.Workload, namespace string) (*unstructured.Unstructured, error) {
	t.Helper()
	pod, err := w.TypedPod()
	if err != nil {
		t.Fatal(err)
	}
	if w.Kind == "StatefulSet" {
		claims(pod)
	}
	value, err := runtime.DefaultUnstructuredConverter.ToUnstructured(pod)
	if err != nil {
		t.Fatal(err)
	}
	sent := &unstructured.Unstructured{Object: value}
	sent.SetAPIVersion("v1")
	sent.SetKind("Pod")
	sent.SetName("")
	sent.SetGenerateName("pod-")
	sent.SetNamespace(namespace)
	account := pod.Spec.ServiceAccountName
	if account == "" {
		account = "default"
	}
	if err := a.make(t, schema.GroupVersionResource{Version: "v1", Resource: "serviceaccounts"}, namespace, "v1", "ServiceAccount", account, nil); err != nil {
		return nil, err
	}
	if c := pod.Spec.PriorityClassName; c != "" && !strings.HasPrefix(c, "system-") {
		err := a.make(t, schema.GroupVersionResource{Group: "scheduling.k8s.io", Version: "v1", Resource: "priorityclasses"}, "", "scheduling.k8s.io/v1", "PriorityClass", c, map[string]any{"value": int64(1000)})
		if err != nil {
			return nil, err
		}
	}
	return sent, nil
}

// claims adds the volumes that a StatefulSet's controller makes of its claims.
func claims(pod *corev1.Pod) {
	has := map[string]bool{}
	for _, v := range pod.Spec.Volumes {
		has[v.Name] = true
	}
	for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
		for _, m := range c.VolumeMounts {
			if !has[m.Name] {
				has[m.Name] = true
				claim := &corev1.PersistentVolumeClaimVolumeSource{ClaimName: m.Name}
				pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: m.Name, VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: claim}})
			}
		}
	}
}

// make creates an object with a name and little else, if it is not there.
func (a *acceptance) make(t *testing.T, gvr schema.GroupVersionResource, namespace, version, kind, name string, more map[string]any) error {
	t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{}}
	for k, v := range more {
		o.Object[k] = v
	}
	o.SetAPIVersion(version)
	o.SetKind(kind)
	o.SetName(name)
	_, err := a.world.client.Resource(gvr).Namespace(namespace).Create(t.Context(), o, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

func dryRun(t *testing.T, client dynamic.NamespaceableResourceInterface, o *unstructured.Unstructured) error {
	t.Helper()
	_, err := client.Namespace(o.GetNamespace()).Create(t.Context(), o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// says reports whether a finding says what the API server refuses.
func says(d decide.Decision, err error) bool {
	for text, rule := range map[string]string{
		"must not set securityContext.privileged=true": "privileged",
		`restricted volume type "hostPath"`:            "host-path",
		"host namespaces":                              "host-namespaces",
		"hostPort":                                     "host-port",
		"must not include":                             "added-capabilities",
	} {
		if strings.Contains(fmt.Sprint(err), text) && slices.ContainsFunc(d.Row.Findings, func(f report.Finding) bool { return f.Rule == rule }) {
			return true
		}
	}
	return false
}
