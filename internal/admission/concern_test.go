package admission_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/admission"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// without takes a condition from rendered policies, and returns how many had it.
func without(objects []policy.Object, name string) int {
	taken := 0
	from := func(conditions []admissionv1.MatchCondition) []admissionv1.MatchCondition {
		out := slices.DeleteFunc(conditions, func(m admissionv1.MatchCondition) bool { return m.Name == name })
		taken += len(conditions) - len(out)
		return out
	}
	for _, o := range objects {
		switch o := o.(type) {
		case *admissionv1.ValidatingAdmissionPolicy:
			o.Spec.MatchConditions = from(o.Spec.MatchConditions)
		case *admissionv1.MutatingAdmissionPolicy:
			o.Spec.MatchConditions = from(o.Spec.MatchConditions)
		}
	}
	return taken
}

// TestLeftAlone: a pod that a condition of the policies leaves alone is one that
// they would have let pass as it is.
func TestLeftAlone(t *testing.T) {
	source, err := rules.Source()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "policies", "default.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string, change func(*v1alpha1.IsolationPolicySpec)) *v1alpha1.IsolationPolicy {
		p, errs := v1alpha1.Read(object(t, string(text)))
		if len(errs) > 0 {
			t.Fatal(errs.ToAggregate())
		}
		p.Name = name
		change(&p.Spec)
		return p
	}
	same := func(*v1alpha1.IsolationPolicySpec) {}
	for name, policies := range map[string][]*v1alpha1.IsolationPolicy{
		"default": {read("a", same)},
		"a floor for one team": {read("a", same), read("b", func(s *v1alpha1.IsolationPolicySpec) {
			s.Namespaces.Include = []v1alpha1.NamespacePattern{"team-*"}
			s.Undeclared.Floor = "user-kernel"
		})},
		"only what is declared": {read("a", func(s *v1alpha1.IsolationPolicySpec) { s.Undeclared.Mode = v1alpha1.FloorOnly })},
		"nothing unknown":       {read("a", func(s *v1alpha1.IsolationPolicySpec) { s.Unknown = v1alpha1.Deny })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			servers := make([]*admission.Server, 2)
			for i := range servers {
				objects, err := policy.Render(policy.Input{Policies: policies, Rules: source})
				if err != nil {
					t.Fatal(err)
				}
				if i == 1 && without(objects, "may-be-held-to-something") < 2 {
					t.Fatal("the condition is not there")
				}
				if servers[i], err = admission.New(objects); err != nil {
					t.Fatal(err)
				}
			}
			n := 0
			for i := range source.Rules {
				for k, ex := range rules.Examples(&source.Rules[i]) {
					if k%8 != i%8 && name != "default" || k%2 != 0 {
						continue
					}
					n++
					pod := map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": ex.Pod["metadata"], "spec": ex.Pod["spec"]}
					for _, namespace := range []string{"team-a", "other"} {
						var got [2]admission.Verdict
						for i, s := range servers {
							if got[i], err = s.Admit(admission.Request{Object: pod, Namespace: namespace, Time: time.Unix(0, 0)}); err != nil {
								t.Fatalf("%s: %v", ex.Name, err)
							}
						}
						if diff := cmp.Diff(got[1], got[0]); diff != "" {
							t.Errorf("%s/%s in %s (-without the condition +with it):\n%s", source.Rules[i].ID, ex.Name, namespace, diff)
						}
					}
				}
			}
			if n < 50 {
				t.Errorf("%d pods say little", n)
			}
		})
	}
}
