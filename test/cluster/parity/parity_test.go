package parity

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	admissionv1 "k8s.io/api/admissionregistration/v1"

	"github.com/bulkhead-dev/bulkhead/risk/rules"
	"github.com/bulkhead-dev/bulkhead/test/cluster/apiserver"
)

// start runs an API server for one test.
func start(t *testing.T) *apiserver.Server {
	t.Helper()
	bin, err := apiserver.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	s, err := apiserver.Start(t.Context(), bin, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func builtin(t *testing.T) (*rules.Catalogue, *rules.Evaluator) {
	t.Helper()
	c, err := rules.Source()
	if err != nil {
		t.Fatal(err)
	}
	e, err := rules.NewEvaluator(c)
	if err != nil {
		t.Fatal(err)
	}
	return c, e
}

// disagreements compares both verdicts of every rule on every pod of every
// rule's cases, on the object that the API server admitted.
func disagreements(t *testing.T, cluster *Cluster, e *rules.Evaluator) (diffs []string, admitted int, refused []string) {
	t.Helper()
	for i := range e.Catalogue().Rules {
		r := &e.Catalogue().Rules[i]
		if r.Scope != rules.ScopePod {
			continue
		}
		for _, ex := range rules.Examples(r) {
			name := r.ID + "/" + ex.Name
			pod, remote, err := cluster.Fired(t.Context(), ex.Pod)
			if errors.Is(err, ErrNotAdmitted) {
				refused = append(refused, name+": "+strings.SplitN(err.Error(), "\n", 2)[0])
				continue
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			admitted++
			if diff := cmp.Diff(fired(t, e, pod), remote, cmpopts.EquateEmpty()); diff != "" {
				diffs = append(diffs, name+" (-command line +API server):\n"+diff)
			}
		}
	}
	return diffs, admitted, refused
}

// fired returns the ids of the rules that fire on the command line.
func fired(t *testing.T, e *rules.Evaluator, object map[string]any) []string {
	t.Helper()
	pod := e.Pod(object)
	var ids []string
	for i := range e.Catalogue().Rules {
		r := &e.Catalogue().Rules[i]
		if r.Scope != rules.ScopePod {
			continue
		}
		matches, err := pod.Matches(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(matches) > 0 {
			ids = append(ids, r.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

func TestParity(t *testing.T) {
	c, e := builtin(t)
	cluster, err := Install(t.Context(), start(t).Kubeconfig(), c, func(*admissionv1.ValidatingAdmissionPolicy) {})
	if err != nil {
		t.Fatal(err)
	}
	diffs, admitted, refused := disagreements(t, cluster, e)
	for _, d := range diffs {
		t.Error(d)
	}
	for _, r := range refused {
		t.Log("not admitted by the API server: ", r)
	}
	t.Logf("%d rules, %d pods admitted and compared, %d not admitted", len(podRules(c)), admitted, len(refused))
	if admitted < 10*len(refused) {
		t.Errorf("%d of %d pods were not admitted: the comparison says too little", len(refused), admitted+len(refused))
	}
}

// TestParitySeesADifference: one altered expression on the server is noticed.
func TestParitySeesADifference(t *testing.T) {
	c, e := builtin(t)
	altered := podRules(c)[0].ID
	cluster, err := Install(t.Context(), start(t).Kubeconfig(), c, func(p *admissionv1.ValidatingAdmissionPolicy) {
		if p.Name == "bulkhead-rule-"+altered {
			p.Spec.Validations[0].Expression = "!(false)"
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	diffs, _, _ := disagreements(t, cluster, e)
	if len(diffs) == 0 || !strings.Contains(strings.Join(diffs, ""), altered) {
		t.Errorf("rule %s never fires on the server, and nobody noticed: %v", altered, diffs)
	}
}
