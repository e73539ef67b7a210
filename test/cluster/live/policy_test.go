package live

import (
	"cmp"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/test/cluster/admission"
)

// raw is a namespace that the policy holds for, without Pod Security.
const raw = "raw"

// outcome counts what became of pods.
type outcome struct {
	pods, mutated, warned, denied, invalid int
	reasons                                map[string]int
}

// TestCorpusUnderPolicy sends the pods of all manifests, as they are and as
// harden writes them, to an API server with the default policy in Enforce: the
// hardened ones, in a namespace that enforces Pod Security "restricted" too, are
// accepted except where check says why not.
func TestCorpusUnderPolicy(t *testing.T) {
	w := start(t)
	cfg, err := clientcmd.BuildConfigFromFlags("", w.server.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	told := &warnings{}
	cfg.QPS, cfg.Burst, cfg.WarningHandler = -1, -1, told
	if w.client, err = dynamic.NewForConfig(cfg); err != nil {
		t.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../../../deploy/policies/default.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := yaml.UnmarshalStrict(text, &object); err != nil {
		t.Fatal(err)
	}
	base, errs := v1alpha1.Read(object)
	if len(errs) > 0 {
		t.Fatal(errs.ToAggregate())
	}
	if err := admission.Namespace(t.Context(), client, raw); err != nil {
		t.Fatal(err)
	}
	set, err := admission.Policies(base, 1, raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := admission.Apply(t.Context(), cfg, raw, set); err != nil {
		t.Fatal(err)
	}
	w.create(t, "namespaces", "apiVersion: v1\nkind: Namespace\nmetadata: {name: "+restricted+", labels: {pod-security.kubernetes.io/enforce: restricted}}\n")
	decider, err := decide.New(config.Default(), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	if err != nil {
		t.Fatal(err)
	}
	was := &outcome{reasons: map[string]int{}}
	hardened := map[string]int{}
	a := &acceptance{world: w, decider: decider, added: map[string]int{}}
	a.raw = func(t *testing.T, file string, m *manifest.Workload) { was.send(t, a, told, file, m) }
	a.judged = func(t *testing.T, d decide.Decision, err error) bool {
		t.Helper()
		if !apierrors.IsForbidden(err) || len(d.Row.Findings) == 0 {
			return false
		}
		hardened[said(err)]++
		return true
	}
	for _, path := range manifests(t) {
		a.file(t, path)
	}
	t.Logf("as they are: %d pods, %d get a RuntimeClass, %d warned about, %d denied, %d no valid pods", was.pods, was.mutated, was.warned, was.denied, was.invalid)
	list(t, was.reasons)
	t.Logf("hardened: %d pods, %d accepted, %d refused with a finding or a reason that says why, %d no valid pods", a.pods, a.after, a.explained, a.invalid)
	list(t, hardened)
	t.Logf("added: %v accepted, %d NetworkPolicies refused: they open more than the policy does", a.added, a.guarded)
	if was.mutated == 0 || was.denied == 0 || a.after <= was.pods-was.denied-was.invalid {
		t.Error("the policy did nothing, or harden does not help")
	}
}

// send creates a pod as it is (dry run), and counts what becomes of it.
func (o *outcome) send(t *testing.T, a *acceptance, told *warnings, file string, m *manifest.Workload) {
	t.Helper()
	o.pods++
	sent, err := a.pod(t, m, raw)
	if err != nil { // the account that it names cannot be made
		o.invalid++
		t.Logf("%s: %v", file, err)
		return
	}
	before, _, _ := unstructured.NestedString(sent.Object, "spec", "runtimeClassName")
	told.take()
	out, err := a.world.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "pods"}).Namespace(raw).Create(t.Context(), sent, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if strings.Contains(told.take(), "ValidatingAdmissionPolicy") {
		o.warned++
	}
	switch {
	case err == nil:
		if after, _, _ := unstructured.NestedString(out.Object, "spec", "runtimeClassName"); after != before {
			o.mutated++
		}
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "denied request: "):
		o.denied++
		o.reasons[said(err)]++
	case apierrors.IsInvalid(err), apierrors.IsForbidden(err):
		o.invalid++
		t.Logf("%s: %v", file, err)
	default:
		t.Errorf("%s: %v", file, err)
	}
}

var detail = regexp.MustCompile(`: set securityContext.*| \(bulkhead (check|harden) .*`)

// said is the reason of a denial without what differs from pod to pod.
func said(err error) string {
	text := err.Error()
	for _, before := range []string{"denied request: ", "violates PodSecurity "} {
		if _, after, ok := strings.Cut(text, before); ok {
			text = after
			break
		}
	}
	return detail.ReplaceAllString(text, "")
}

func list(t *testing.T, reasons map[string]int) {
	t.Helper()
	for _, reason := range slices.SortedFunc(maps.Keys(reasons), func(a, b string) int {
		return cmp.Or(cmp.Compare(reasons[b], reasons[a]), cmp.Compare(a, b))
	}) {
		t.Logf("%4d  %s", reasons[reason], reason)
	}
}

// warnings keeps what the API server warned about.
type warnings struct {
	mu   sync.Mutex
	text strings.Builder
}

// HandleWarningHeader keeps a warning.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.WriteString(text + "\n")
}

func (w *warnings) take() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer w.text.Reset()
	return w.text.String()
}
