package live

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type impactRow struct {
	Kind, Name, Fate, RuntimeClass string
	Pods                           int
	MemoryBytes                    int64
}

// TestImpactOnACluster: what runs now and the RuntimeClasses that the cluster
// has say what enforced routes would deny, raise and cost; and nothing of the
// cluster is changed by asking.
func TestImpactOnACluster(t *testing.T) {
	w := start(t)
	w.create(t, "serviceaccounts", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: default}\n")
	w.create(t, "deployments", strings.Replace(deployment("notebook", "jupyter/base-notebook"), "spec: {selector", "spec: {replicas: 3, selector", 1))
	w.create(t, "pods", "apiVersion: v1\nkind: Pod\nmetadata: {name: alone}\nspec: {containers: [{name: c, image: nginx}]}\n")

	rows, code := w.impact(t)
	want := []impactRow{
		{Kind: "Deployment", Name: "notebook", Fate: "denied", Pods: 3},
		{Kind: "Pod", Name: "alone", Fate: "unchanged", Pods: 1},
	}
	if diff := cmp.Diff(want, rows); diff != "" || code != 1 {
		t.Errorf("without a RuntimeClass: exit code %d\n%s", code, diff)
	}

	w.create(t, "runtimeclasses", "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: vm}\nhandler: kata-fc\noverhead: {podFixed: {memory: 128Mi}}\n")
	w.create(t, "runtimeclasses", "apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: kata}\nhandler: runc\n")
	w.create(t, "pods", "apiVersion: v1\nkind: Pod\nmetadata: {name: misled}\nspec: {runtimeClassName: kata, containers: [{name: c, image: jupyter/base-notebook}]}\n")
	rows, code = w.impact(t)
	want = []impactRow{
		{Kind: "Deployment", Name: "notebook", Fate: "raised", RuntimeClass: "vm", Pods: 3, MemoryBytes: 3 * 128 << 20},
		{Kind: "Pod", Name: "alone", Fate: "unchanged", Pods: 1},
		{Kind: "Pod", Name: "misled", Fate: "denied", Pods: 1},
	}
	if diff := cmp.Diff(want, rows); diff != "" || code != 1 {
		t.Errorf("with one RuntimeClass that gives it, and one that has its name only: exit code %d\n%s", code, diff)
	}

	if found, _, _ := w.check(t, w.server.Kubeconfig()); len(found) != 3 {
		t.Errorf("%d workloads after the impact was asked for, want the 3 of before", len(found))
	}
}

// impact runs `policy impact --cluster`; rows are sorted by kind and name.
func (w *world) impact(t *testing.T) (rows []impactRow, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), w.bulkhead, "policy", "impact", "--cluster", "-o", "json")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "KUBECONFIG="+w.server.Kubeconfig())
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	var report struct{ Workloads []impactRow }
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	slices.SortFunc(report.Workloads, func(a, b impactRow) int {
		return strings.Compare(a.Kind+"/"+a.Name, b.Kind+"/"+b.Name)
	})
	return report.Workloads, code
}
