package report_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
	"github.com/xeipuuv/gojsonschema"

	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

func about(t *testing.T) report.About {
	t.Helper()
	c := rules.Builtin()
	return report.About{Version: "v1.2.3", Rules: c.Rules}
}

// publishedSchema is the schema of SARIF 2.1.0 as OASIS published it. The module
// of another implementation carries it, as a constant of its own.
func publishedSchema(t *testing.T) *gojsonschema.Schema {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.Dir}}", reflect.TypeFor[sarif.Report]().PkgPath()).Output()
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(strings.TrimSpace(string(out)), "schema.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	literal := file.Decls[0].(*ast.GenDecl).Specs[0].(*ast.ValueSpec).Values[0].(*ast.BasicLit)
	text, err := strconv.Unquote(literal.Value)
	if err != nil || !strings.Contains(text, "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json") {
		t.Fatalf("%v: not the schema: %.200s", err, text)
	}
	schema, err := gojsonschema.NewSchema(gojsonschema.NewStringLoader(text))
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

// violations are what of the text the schema does not allow.
func violations(t *testing.T, schema *gojsonschema.Schema, text string) []gojsonschema.ResultError {
	t.Helper()
	result, err := schema.Validate(gojsonschema.NewStringLoader(text))
	if err != nil {
		t.Fatal(err)
	}
	return result.Errors()
}

// readSARIF reads a log back by another implementation.
func readSARIF(t *testing.T, text string) *sarif.Run {
	t.Helper()
	log, err := sarif.FromString(text)
	if err != nil {
		t.Fatal(err)
	}
	if len(log.Runs) != 1 {
		t.Fatalf("%d runs, want 1", len(log.Runs))
	}
	return log.Runs[0]
}

func writeSARIF(t *testing.T, r report.Report, a report.About) string {
	t.Helper()
	var b bytes.Buffer
	if err := report.WriteSARIF(&b, r, a); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSARIFIsValid(t *testing.T) {
	schema := publishedSchema(t)
	for name, r := range map[string]report.Report{"full": full(), "empty": report.New(nil, nil, nil), "hostile": hostile()} {
		text := writeSARIF(t, r, about(t))
		if v := violations(t, schema, text); len(v) > 0 {
			t.Errorf("%s: %v\n%s", name, v, text)
		}
	}
	// The validation itself sees a mistake of each sort.
	good := writeSARIF(t, full(), about(t))
	for _, change := range [][2]string{{`"level": "error"`, `"level": "fatal"`}, {`"startLine": 4`, `"startLine": 0`}, {`"ruleIndex"`, `"ruleNumber"`}, {`"uri": "f.yaml"`, `"uri": 3`}} {
		if !strings.Contains(good, change[0]) || len(violations(t, schema, strings.Replace(good, change[0], change[1], 1))) == 0 {
			t.Errorf("with %s for %s it is still valid", change[1], change[0])
		}
	}
}

func TestSARIFSaysWhatTheReportSays(t *testing.T) {
	run := readSARIF(t, writeSARIF(t, full(), about(t)))
	if len(run.Results) != 2 {
		t.Fatalf("%d results, want 2", len(run.Results))
	}
	weak, waived := run.Results[0], run.Results[1]
	if *weak.RuleID != "boundary" || weak.Level != "error" || len(weak.Suppressions) != 0 {
		t.Errorf("%+v", weak)
	}
	at := weak.Locations[0]
	if *at.PhysicalLocation.ArtifactLocation.URI != "g.yaml" || *at.PhysicalLocation.Region.StartLine != 4 || *at.LogicalLocations[0].FullyQualifiedName != "ns/NetworkPolicy/p:spec" {
		t.Errorf("location %+v", at)
	}
	var related []string
	for _, l := range weak.RelatedLocations {
		related = append(related, *l.PhysicalLocation.ArtifactLocation.URI+": "+*l.Message.Text)
	}
	if diff := cmp.Diff([]string{
		"f.yaml: the workload",
		`f.yaml: code-execution, by rule runtime-socket: spec.volumes[0] = "v"`,
		`g.yaml: spawner, by rule rbac-spawner: rules[0] = "create"`,
	}, related); diff != "" {
		t.Error(diff)
	}
	if len(waived.Suppressions) != 1 || *waived.Suppressions[0].Justification != "waived by o until 2027-01-01 (T-1): r" {
		t.Errorf("suppressions %+v", waived.Suppressions)
	}
	for _, r := range run.Tool.Driver.Rules {
		if r.Help == nil || !strings.Contains(*r.Help.Text, "Fix: ") || r.HelpURI == nil || r.Properties == nil {
			t.Errorf("rule %s: %+v", *r.ID, r)
		}
	}
	inv := run.Invocations[0]
	var said []string
	for _, n := range inv.ToolExecutionNotifications {
		said = append(said, n.Level+": "+*n.Message.Text)
	}
	if diff := cmp.Diff([]string{"warning: not evaluated: Robot/r: not known", "warning: no effect"}, said); diff != "" || !*inv.ExecutionSuccessful {
		t.Errorf("%s, successful %v", diff, *inv.ExecutionSuccessful)
	}
	r := full()
	r.Notices[0].Level = rules.Error
	if *readSARIF(t, writeSARIF(t, r, about(t))).Invocations[0].ExecutionSuccessful {
		t.Error("what could not be read leaves the run successful")
	}
}

// Lines written above a finding, and containers put before its own, leave its
// fingerprint; two findings that are alike have two.
func TestSARIFFingerprintsSurviveLineMoves(t *testing.T) {
	prints := func(change func(f *report.Finding)) []string {
		r := full()
		w := &r.Workloads[0]
		for i := range w.Findings {
			change(&w.Findings[i])
		}
		var out []string
		for _, res := range readSARIF(t, writeSARIF(t, r, about(t))).Results {
			out = append(out, res.PartialFingerprints["bulkheadFinding/v1"])
		}
		return out
	}
	base := prints(func(f *report.Finding) { f.Path = "spec.containers[0].securityContext" })
	moved := prints(func(f *report.Finding) { f.Path, f.Line, f.Column = "spec.containers[2].securityContext", 99, 1 })
	if diff := cmp.Diff(base, moved); diff != "" {
		t.Error(diff)
	}
	for name, change := range map[string]func(*report.Finding){
		"rule":      func(f *report.Finding) { f.Rule = "other" },
		"container": func(f *report.Finding) { f.Container = "other" },
		"file":      func(f *report.Finding) { f.File = "other.yaml" },
		"field":     func(f *report.Finding) { f.Path = "spec.other" },
	} {
		if other := prints(change); other[1] == base[1] {
			t.Errorf("another %s has the same fingerprint", name)
		}
	}
	alike := prints(func(f *report.Finding) { *f = report.Finding{Rule: "boundary", Severity: rules.Error, Path: "a[0]"} })
	if alike[0] == alike[1] {
		t.Error("two findings have one fingerprint")
	}
}

func TestSARIFPathsAreRelativeURIs(t *testing.T) {
	root := t.TempDir()
	for file, want := range map[string]string{
		"deploy/a b.yaml":                    "deploy/a%20b.yaml",
		"./x/../a.yaml":                      "a.yaml",
		"50%?#.yaml":                         "50%25%3F%23.yaml",
		"::error::x":                         "./::error::x",
		"<stdin>":                            "%3Cstdin%3E",
		filepath.Join(root, "sub", "a.yaml"): "sub/a.yaml",
		"/etc/a.yaml":                        "file:///etc/a.yaml",
	} {
		r := full()
		r.Workloads[0].Findings[1].File = file
		a := about(t)
		a.Root = root
		got := *readSARIF(t, writeSARIF(t, r, a)).Results[1].Locations[0].PhysicalLocation.ArtifactLocation.URI
		if got != want {
			t.Errorf("%s is written as %s, want %s", file, got, want)
		}
	}
}
