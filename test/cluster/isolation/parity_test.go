package isolation

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/admission"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// caseFile is a file of cases as `bulkhead policy test` reads it.
type caseFile struct {
	APIVersion string      `json:"apiVersion"`
	Policies   []string    `json:"policies"`
	Cases      []judgement `json:"cases"`
}

// judgement is a case, of which two have to say the same.
type judgement struct {
	Name            string            `json:"name"`
	Namespace       string            `json:"namespace"`
	NamespaceLabels map[string]string `json:"namespaceLabels"`
	Manifest        json.RawMessage   `json:"manifest"`
	Old             json.RawMessage   `json:"old"`
	Expect          struct {
		Verdict      string  `json:"verdict"`
		Message      string  `json:"message"`
		RuntimeClass *string `json:"runtimeClass"`
	} `json:"expect"`
}

// said is the end of the names of bindings that make the API server tell
// everything that a policy has against an object, whatever becomes of it.
const said = "-said"

// TestCasesParity: what `bulkhead policy test` says of an object is what a real
// API server makes of it: the verdict, every message, and the RuntimeClass.
func TestCasesParity(t *testing.T) {
	c := start(t)
	files := []string{"../../../deploy/policies/cases.yaml", "testdata/cases.yaml"}
	sets := make([]caseFile, len(files))
	for i, file := range files {
		readYAML(t, file, &sets[i])
		c.before(t, sets[i].Cases)
	}
	c.applyAll(t, "{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: mine}, handler: kata-fc}\n---\n{apiVersion: v1, kind: ServiceAccount, metadata: {name: operator, namespace: team}}")
	for i, file := range files {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			objects := renderFiles(t, filepath.Dir(file), sets[i].Policies)
			here, err := admission.New(objects)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range objects {
				if b, ok := o.(*admissionv1.ValidatingAdmissionPolicyBinding); ok && b.Spec.ParamRef == nil {
					all := b.DeepCopy()
					all.Name += said
					all.Spec.ValidationActions = []admissionv1.ValidationAction{admissionv1.Warn}
					objects = append(objects, all)
				}
			}
			c.applyObjects(t, objects)
			c.settle(t, "team")
			for _, j := range sets[i].Cases {
				t.Run(j.Name, func(t *testing.T) { c.agree(t, here, j) })
			}
		})
	}
}

// before makes the namespaces of cases, and what is there before the policies.
func (c *cluster) before(t *testing.T, cases []judgement) {
	t.Helper()
	known := map[string]map[string]string{}
	for _, j := range cases {
		if labels, ok := known[j.in()]; ok && !maps.Equal(labels, j.NamespaceLabels) {
			t.Fatalf("case %q: namespace %s has other labels in another case", j.Name, j.in())
		}
		known[j.in()] = j.NamespaceLabels
		c.namespace(t, j.in(), j.NamespaceLabels)
		if old := j.object(t, j.Old); old != nil {
			resource, err := c.resource(old)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := resource.Create(t.Context(), old, metav1.CreateOptions{}); err != nil {
				t.Fatalf("case %q: %v", j.Name, err)
			}
		}
	}
}

func (j judgement) in() string {
	if j.Namespace == "" {
		return metav1.NamespaceDefault
	}
	return j.Namespace
}

// object is an object of the case, nil where it has none.
func (j judgement) object(t *testing.T, text json.RawMessage) *unstructured.Unstructured {
	t.Helper()
	if text == nil {
		return nil
	}
	o := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(text, &o.Object); err != nil {
		t.Fatal(err)
	}
	o.SetNamespace(j.in())
	return o
}

func renderFiles(t *testing.T, dir string, files []string) []policy.Object {
	t.Helper()
	var in policy.Input
	for _, file := range files {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for one := range strings.SplitSeq(string(text), "\n---\n") {
			p, errs := v1alpha1.Read(object(t, one).Object)
			if len(errs) > 0 {
				t.Fatal(errs.ToAggregate())
			}
			in.Policies = append(in.Policies, p)
		}
	}
	in.Rules = rules.Builtin()
	objects, err := policy.Render(in)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// outcome is what became of an object, by whoever judges.
type outcome struct {
	Verdict string
	// Messages are everything that policies have against it.
	Messages     []string
	RuntimeClass string
}

// agree has a case judged twice.
func (c *cluster) agree(t *testing.T, here *admission.Server, j judgement) {
	t.Helper()
	v, err := here.Admit(admission.Request{
		Object: j.object(t, j.Manifest).Object, Old: value(j.object(t, j.Old)), Namespace: j.in(), NamespaceLabels: j.NamespaceLabels, Time: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	got := outcome{Verdict: "allowed", Messages: distinct(v.Audited), RuntimeClass: v.RuntimeClass}
	switch {
	case len(v.Denied) > 0:
		got.Verdict, got.RuntimeClass = "denied", ""
	case len(v.Warned) > 0:
		got.Verdict = "warned"
	}
	there, reason := c.judge(t, j)
	if diff := cmp.Diff(there, got); diff != "" {
		t.Errorf("policy test says otherwise than the API server (-server +test):\n%s", diff)
	}
	if reason != "" && !slices.Contains(v.Denied, reason) {
		t.Errorf("the API server denies it for %q, policy test for %q", reason, v.Denied)
	}
	if there.Verdict != j.Expect.Verdict || !strings.Contains(strings.Join(there.Messages, "\n"), j.Expect.Message) {
		t.Errorf("the API server says %+v, expected is %+v", there, j.Expect)
	}
	if want := j.Expect.RuntimeClass; want != nil && there.RuntimeClass != *want {
		t.Errorf("the API server gives RuntimeClass %q, expected is %q", there.RuntimeClass, *want)
	}
}

func value(o *unstructured.Unstructured) map[string]any {
	if o == nil {
		return nil
	}
	return o.Object
}

// judge is what the API server makes of a case, and why it denies it. Of what
// makes pods it is asked too what becomes of these.
func (c *cluster) judge(t *testing.T, j judgement) (out outcome, reason string) {
	t.Helper()
	o := j.object(t, j.Manifest)
	if j.Old == nil && o.GetKind() == "Pod" {
		o.SetGenerateName(o.GetName() + "-")
		o.SetName("")
	}
	out.Verdict = "allowed"
	for o != nil {
		stored, warned, err := c.send(t.Context(), o, j.Old != nil && o.GetName() != "")
		for _, w := range warned {
			binding, message, _ := strings.Cut(strings.TrimPrefix(w, "Validation failed for ValidatingAdmissionPolicy "), "': ")
			switch {
			case strings.HasSuffix(binding, said):
				out.Messages = append(out.Messages, message)
			case strings.HasPrefix(w, "Validation failed"):
				out.Verdict = "warned"
			}
		}
		if err != nil {
			_, after, ok := strings.Cut(err.Error(), " denied request: ")
			if !apierrors.IsForbidden(err) || !ok {
				t.Fatal("not denied by policy:", err)
			}
			out.Verdict, out.RuntimeClass, reason = "denied", "", after
			break
		}
		out.RuntimeClass, _, _ = unstructured.NestedString(stored.Object, "spec", "runtimeClassName")
		o = firstPod(o)
	}
	out.Messages = distinct(out.Messages)
	return out, reason
}

// send tries to create an object, or to change what is there to it (dry run).
func (c *cluster) send(ctx context.Context, o *unstructured.Unstructured, there bool) (*unstructured.Unstructured, []string, error) {
	if !there {
		return c.try(ctx, o)
	}
	resource, err := c.resource(o)
	if err != nil {
		return nil, nil, err
	}
	now, err := resource.Get(ctx, o.GetName(), metav1.GetOptions{})
	if err != nil {
		return nil, nil, err
	}
	changed := now.DeepCopy()
	changed.SetLabels(o.GetLabels())
	var sub []string
	if o.GetKind() != "Pod" {
		changed.Object["spec"] = o.Object["spec"]
	} else {
		wanted, _, _ := unstructured.NestedSlice(o.Object, "spec", "containers")
		for i, container := range changed.Object["spec"].(map[string]any)["containers"].([]any) {
			container.(map[string]any)["image"] = wanted[i].(map[string]any)["image"]
		}
		if ephemeral, ok, _ := unstructured.NestedSlice(o.Object, "spec", "ephemeralContainers"); ok {
			changed.Object["spec"].(map[string]any)["ephemeralContainers"] = ephemeral
			sub = append(sub, "ephemeralcontainers")
		}
	}
	c.warnings.take()
	out, err := resource.Update(ctx, changed, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}, sub...)
	return out, c.warnings.take(), err
}

// firstPod is what a controller makes of the template in an object; nil for a pod.
func firstPod(o *unstructured.Unstructured) *unstructured.Unstructured {
	for _, at := range [][]string{{"spec", "template"}, {"spec", "jobTemplate", "spec", "template"}} {
		if template, ok, _ := unstructured.NestedMap(o.Object, at...); ok {
			out := &unstructured.Unstructured{Object: template}
			out.SetAPIVersion("v1")
			out.SetKind("Pod")
			out.SetNamespace(o.GetNamespace())
			out.SetGenerateName(o.GetName() + "-")
			return out
		}
	}
	return nil
}

// distinct is a list in order, each once.
func distinct(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(list)))
}
