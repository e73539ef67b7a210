package report_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// full has every field of the contract set, so that none hides behind omitempty.
func full() report.Report {
	r := report.New(
		[]report.Workload{{
			File: "f.yaml", Line: 1, Kind: "Deployment", Namespace: "ns", Name: "n", Role: "leader", Replicas: 3,
			RiskClass: risk.CodeExecution, Declared: "code-execution", DeclaredLine: 5, Spawner: true, TenantData: true, BroadEgress: true, Confidence: report.High,
			Evidence: []report.Evidence{
				{Rule: "runtime-socket", Class: risk.CodeExecution, Path: "spec.volumes[0]", Line: 2, Column: 3, Value: "v", Message: "it has a socket"},
				{Rule: "rbac-spawner", Object: "Role/r", File: "g.yaml", Path: "rules[0]", Line: 9, Column: 3, Value: "create", Message: "it may create pods"},
			},
			Boundary: report.Boundary{Required: boundary.VirtualMachine, Runtimes: []boundary.Runtime{boundary.Kata}, RuntimeClassName: "g", Handler: "runsc",
				Claimed: "user-kernel", Verdict: boundary.Unsatisfied, Reason: "because", Claim: "by its handler"},
			ServiceAccount: report.ServiceAccount{Name: "default", Token: true, Reason: "its API token is mounted"},
			EgressPolicies: []string{"p"},
			Findings: []report.Finding{
				{Rule: "boundary", Severity: rules.Error, Object: "NetworkPolicy/p", File: "g.yaml", Path: "spec", Line: 4, Column: 5, Message: "too weak", Fix: "another"},
				{Rule: "read-only-root", Severity: rules.Warning, Path: "spec", Line: 4, Column: 5, Message: "m", Fix: "f", WaivedBy: "file", Waiver: "by o until 2027-01-01 (T-1): r", Control: "c", Container: "a"},
			},
		}},
		[]report.NotEvaluated{{File: "f.yaml", Line: 7, Kind: "Robot", Name: "r", Reason: "not known"}},
		[]report.RuntimeClass{{Name: "g", Handler: "runsc", Boundary: "user-kernel", File: "f.yaml", Line: 3}},
	)
	r.Notices = []report.Notice{{Level: rules.Warning, File: "bulkhead.yaml", Line: 2, Column: 1, Message: "no effect", Next: "remove it"}}
	return r
}

// keys returns the field names of every object in a JSON value, with where
// they are: lists are entered at their first entry.
func keys(at string, v any) []string {
	var out []string
	switch x := v.(type) {
	case map[string]any:
		for k, child := range x {
			out = append(out, at+k)
			out = append(out, keys(at+k+".", child)...)
		}
	case []any:
		if len(x) > 0 {
			out = keys(at, x[len(x)-1])
		}
	}
	slices.Sort(out)
	return out
}

func TestJSONContract(t *testing.T) {
	var b strings.Builder
	if err := report.WriteJSON(&b, full()); err != nil {
		t.Fatal(err)
	}
	var got any
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	// The names that readers rely on. Names are added, never changed.
	want := strings.Fields(`
		apiVersion workloads
		workloads.file workloads.line workloads.kind workloads.namespace workloads.name
		workloads.riskClass workloads.declared workloads.spawner workloads.tenantData workloads.broadEgress workloads.confidence
		workloads.evidence workloads.evidence.rule workloads.evidence.path workloads.evidence.line workloads.evidence.value workloads.evidence.message
		workloads.boundary workloads.boundary.required workloads.boundary.runtimes workloads.boundary.runtimeClassName
		workloads.boundary.handler workloads.boundary.claimed workloads.boundary.verdict
		workloads.findings workloads.findings.rule workloads.findings.severity workloads.findings.path workloads.findings.line
		workloads.findings.message workloads.findings.fix workloads.findings.waivedBy
		notEvaluated notEvaluated.file notEvaluated.line notEvaluated.kind notEvaluated.name notEvaluated.reason
		summary summary.workloads summary.byClass summary.byClass.code-execution summary.errors summary.warnings summary.notEvaluated`)
	added := strings.Fields(`
		workloads.role workloads.replicas
		workloads.evidence.class workloads.evidence.column workloads.evidence.object workloads.evidence.file
		workloads.boundary.reason workloads.boundary.claim
		workloads.serviceAccount workloads.serviceAccount.name workloads.serviceAccount.token workloads.serviceAccount.reason
		workloads.egressPolicies
		workloads.findings.column
		notices notices.level notices.file notices.line notices.column notices.message notices.next
		runtimeClasses runtimeClasses.name runtimeClasses.handler runtimeClasses.boundary runtimeClasses.file runtimeClasses.line`)
	all := append(want, added...)
	slices.Sort(all)
	if diff := cmp.Diff(all, keys("", got)); diff != "" {
		t.Error(diff)
	}
	if !strings.HasPrefix(b.String(), "{\n  \"apiVersion\": \"bulkhead.dev/report/v1\",\n") {
		t.Errorf("it begins with %.60q", b.String())
	}
}

// TestJSONWorkloadByWorkload: the text is that of the report as a whole.
func TestJSONWorkloadByWorkload(t *testing.T) {
	r := full()
	r.Workloads = append(r.Workloads, r.Workloads[0], r.Workloads[0])
	r.Workloads[1].Name = "\"workloads\": []"
	var got, want bytes.Buffer
	if err := report.WriteJSON(&got, r); err != nil {
		t.Fatal(err)
	}
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), got.String()); diff != "" {
		t.Error(diff)
	}
}

func TestJSONListsAreNeverNull(t *testing.T) {
	var b strings.Builder
	if err := report.WriteJSON(&b, report.New(nil, nil, nil)); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "null") {
		t.Error(b.String())
	}
}

func TestSummaryCountsWhatCounts(t *testing.T) {
	r := full()
	want := report.Summary{Workloads: 1, ByClass: map[string]int{"code-execution": 1}, Errors: 1, Warnings: 0, NotEvaluated: 1}
	if diff := cmp.Diff(want, r.Summary); diff != "" {
		t.Error(diff)
	}
	r.Workloads[0].Findings[0].Severity = rules.Warning
	if r.Worst(rules.Error) || !r.Worst(rules.Warning) || !r.Worst(rules.Info) {
		t.Error("a warning is not exactly as bad as a warning")
	}
	r.Workloads[0].Findings[0].WaivedBy = "file"
	if r.Worst(rules.Info) {
		t.Error("a waived finding counts")
	}
}

func TestColoursOnlyWhereAskedFor(t *testing.T) {
	for _, colour := range []bool{false, true} {
		var b strings.Builder
		if err := report.WriteTable(&b, full(), colour); err != nil {
			t.Fatal(err)
		}
		if err := report.WriteExplain(&b, full().Workloads[0], colour); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(b.String(), "\x1b["); got != colour {
			t.Errorf("colour %v: escapes %v", colour, got)
		}
	}
}

// With colours the lines break where they break without.
func TestColoursTakeNoRoom(t *testing.T) {
	render := func(colour bool) string {
		var b strings.Builder
		if err := report.WriteTable(&b, full(), colour); err != nil {
			t.Fatal(err)
		}
		if err := report.WriteExplain(&b, full().Workloads[0], colour); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	plain, coloured := render(false), render(true)
	for _, code := range []string{"0", "1", "2", "31", "32", "33"} {
		coloured = strings.ReplaceAll(coloured, "\x1b["+code+"m", "")
	}
	if diff := cmp.Diff(plain, coloured); diff != "" {
		t.Error(diff)
	}
}

func TestLinesFitATerminal(t *testing.T) {
	r := full()
	words := strings.Repeat("word ", 60)
	w := &r.Workloads[0]
	w.Boundary.Reason, w.Boundary.Claim, w.ServiceAccount.Reason = words, words, words
	w.Evidence[0].Message, w.Findings[0].Message, w.Findings[0].Fix = words, words, words
	r.NotEvaluated[0].Reason = words
	var b strings.Builder
	if err := report.WriteTable(&b, r, false); err != nil {
		t.Fatal(err)
	}
	if err := report.WriteExplain(&b, *w, false); err != nil {
		t.Fatal(err)
	}
	for line := range strings.SplitSeq(b.String(), "\n") {
		if len(line) > 80 {
			t.Errorf("%d characters: %s", len(line), line)
		}
	}
}

// A finding in another file must not look like a line of this one.
func TestFindingsInAnotherFileNameIt(t *testing.T) {
	var b strings.Builder
	if err := report.WriteTable(&b, full(), false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"at g.yaml:4\n", "(g.yaml:9)"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is not in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "line 4 ") && strings.Contains(b.String(), "error    line 4") {
		t.Errorf("line 4 of another file stands as one of this\n%s", b.String())
	}
}
