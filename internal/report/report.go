// Package report is what Bulkhead says about workloads: the JSON contract
// (bulkhead.dev/report/v1) as Go types, and its printed forms. It decides
// nothing and reads nothing. Everything that it prints from an input goes
// through Redact and Plain: values of environment variables and secrets are not
// shown, and a hostile name cannot drive the terminal.
package report

import (
	"time"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// APIVersion is the version of the JSON form. Fields are only ever added to it.
const APIVersion = "bulkhead.dev/report/v1"

// Report is the outcome of `bulkhead check`.
type Report struct {
	APIVersion   string         `json:"apiVersion"`
	Workloads    []Workload     `json:"workloads"`
	NotEvaluated []NotEvaluated `json:"notEvaluated"`
	// RuntimeClasses are those of the input and of bulkhead.yaml, by name.
	RuntimeClasses []RuntimeClass `json:"runtimeClasses"`
	// Notices are about the input and the configuration, and not about one workload.
	Notices []Notice `json:"notices"`
	Summary Summary  `json:"summary"`
}

// Notice is something to know about the input or bulkhead.yaml: what could not
// be read (error), or what has no effect there (warning, info). It sets no
// workload's outcome, and is not counted in the summary.
type Notice struct {
	Level   rules.Severity `json:"level"`
	File    string         `json:"file"`
	Line    int            `json:"line"`
	Column  int            `json:"column"`
	Message string         `json:"message"`
	Next    string         `json:"next"` // what to do about it; "" for nothing
}

// About is what a report says of the run that made it.
type About struct {
	Version string
	Time    time.Time
	Rules   []rules.Rule // those that were in force
	// Root is the absolute folder that paths in SARIF are relative to; "" leaves
	// them as they were given.
	Root string
}

// Confidence says how sure a class is.
type Confidence string

const (
	// High: the class is declared, a behaviour shows it, or two rules agree on it.
	High Confidence = "high"
	// Medium: one technology rule alone; an image's name proves nothing.
	Medium Confidence = "medium"
	// Low: only hints, or nothing at all.
	Low Confidence = "low"
)

// Workload is the outcome for one workload.
type Workload struct {
	File        string     `json:"file"`
	Line        int        `json:"line"`
	Kind        string     `json:"kind"`
	Namespace   string     `json:"namespace"`
	Name        string     `json:"name"`
	Role        string     `json:"role,omitempty"`     // which of an object's several pod templates
	Replicas    int        `json:"replicas,omitempty"` // where the object says how many
	RiskClass   risk.Class `json:"riskClass"`
	Declared    string     `json:"declared"` // the class that its label declares; "" for none
	Spawner     bool       `json:"spawner"`
	TenantData  bool       `json:"tenantData"`
	BroadEgress bool       `json:"broadEgress"`
	Confidence  Confidence `json:"confidence"`
	Evidence    []Evidence `json:"evidence"`
	Boundary    Boundary   `json:"boundary"`
	// ServiceAccount is whose rights it has on the Kubernetes API.
	ServiceAccount ServiceAccount `json:"serviceAccount"`
	// EgressPolicies names the NetworkPolicies of the input that limit its egress.
	EgressPolicies []string  `json:"egressPolicies"`
	Findings       []Finding `json:"findings"`

	// DeclaredLine is where the label stands; 0 where there is none.
	DeclaredLine int `json:"-"`
	// Patch is a strategic merge patch with every field that has to be set; ""
	// where there is none. It is for people, and not part of the contract.
	Patch string `json:"-"`
}

// Evidence is one rule that fired, on one field.
type Evidence struct {
	Rule    string     `json:"rule"`
	Class   risk.Class `json:"class"`
	Object  string     `json:"object,omitempty"` // Kind/name, where the field is in another object
	File    string     `json:"file,omitempty"`   // where that is another file
	Path    string     `json:"path"`
	Line    int        `json:"line"`
	Column  int        `json:"column"`
	Value   string     `json:"value"`
	Message string     `json:"message"`
}

// Boundary is what the workload needs, what it has, and whether that is enough.
type Boundary struct {
	Required         boundary.Boundary  `json:"required"`
	Runtimes         []boundary.Runtime `json:"runtimes"`
	RuntimeClassName string             `json:"runtimeClassName"`
	Handler          string             `json:"handler"`
	Claimed          string             `json:"claimed"` // "" where it is not known
	Verdict          boundary.Verdict   `json:"verdict"`
	Reason           string             `json:"reason"` // why Required
	Claim            string             `json:"claim"`  // how Claimed was found, or why it was not
}

// ServiceAccount is the account of a workload.
type ServiceAccount struct {
	Name   string `json:"name"`
	Token  bool   `json:"token"`  // its pods get an API token
	Reason string `json:"reason"` // what decides that
}

// RuntimeClass is a name that pods can ask for, and what it gives.
type RuntimeClass struct {
	Name     string `json:"name"`
	Handler  string `json:"handler"`
	Boundary string `json:"boundary"` // "" where the handler is not known
	File     string `json:"file"`
	Line     int    `json:"line"` // 0 for those of bulkhead.yaml
}

// Finding is something to change.
type Finding struct {
	Rule     string         `json:"rule"`
	Severity rules.Severity `json:"severity"`
	Object   string         `json:"object,omitempty"`
	File     string         `json:"file,omitempty"`
	Path     string         `json:"path"`
	Line     int            `json:"line"`
	Column   int            `json:"column"`
	Message  string         `json:"message"`
	Fix      string         `json:"fix"`
	WaivedBy string         `json:"waivedBy"` // "file" where bulkhead.yaml waives it; "" otherwise
	// Example is YAML that shows the fix, words in capitals to be replaced.
	Example string `json:"example,omitempty"`

	// Container is what it is about, "" for the whole pod; Control is set for
	// findings of the baseline; Patched says that the workload's patch has the
	// fix.
	// Waiver is whose waiver it is, until when and why. They are not part of the contract.
	Container string `json:"-"`
	Control   string `json:"-"`
	Patched   bool   `json:"-"`
	Waiver    string `json:"-"`
}

// Counts reports whether the finding counts against the workload.
func (f Finding) Counts() bool { return f.WaivedBy == "" }

// NotEvaluated is an object that was seen and not judged: never green.
type NotEvaluated struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Summary counts. Waived findings are not counted.
type Summary struct {
	Workloads    int            `json:"workloads"`
	ByClass      map[string]int `json:"byClass"`
	Errors       int            `json:"errors"`
	Warnings     int            `json:"warnings"`
	NotEvaluated int            `json:"notEvaluated"`
}

// New returns a report with its summary. Lists are never null in JSON.
func New(workloads []Workload, notEvaluated []NotEvaluated, runtimeClasses []RuntimeClass) Report {
	r := Report{
		APIVersion: APIVersion, Workloads: list(workloads), NotEvaluated: list(notEvaluated),
		RuntimeClasses: list(runtimeClasses), Notices: []Notice{},
	}
	r.Summary = Summary{Workloads: len(workloads), ByClass: map[string]int{}, NotEvaluated: len(notEvaluated)}
	for i := range r.Workloads {
		w := &r.Workloads[i]
		r.Summary.ByClass[w.RiskClass.String()]++
		for _, f := range w.Findings {
			switch {
			case !f.Counts():
			case f.Severity == rules.Error:
				r.Summary.Errors++
			case f.Severity == rules.Warning:
				r.Summary.Warnings++
			}
		}
	}
	return r
}

// list returns an empty list for none.
func list[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// Worst reports whether a finding that counts is at least as severe as s.
func (r Report) Worst(s rules.Severity) bool {
	for _, w := range r.Workloads {
		for _, f := range w.Findings {
			if f.Counts() && severityRank(f.Severity) >= severityRank(s) {
				return true
			}
		}
	}
	return false
}

func severityRank(s rules.Severity) int {
	switch s {
	case rules.Error:
		return 3
	case rules.Warning:
		return 2
	case rules.Info:
		return 1
	}
	return 0
}
