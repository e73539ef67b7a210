// Package harden says what to change in workloads so that they have what package
// decide finds missing, as far as that can be done without asking a person, and
// what each change may break. It is pure: decisions in, changes out.
package harden

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/risk"
)

// Plan is what to change in one workload.
type Plan struct {
	Decision decide.Decision
	Changes  []Change
	// Kept says why the object is not changed although changes are known; "" where
	// it is.
	Kept string
}

// Change is one field to set, and what a person has to know about it.
type Change struct {
	manifest.Change
	// Rule is that of the finding which it mends.
	Rule string
	// Before is what stood there; nil where the field was missing.
	Before any
	// Breaks says what may stop working, and See how that shows.
	Breaks, See string
}

// Plans returns what to change, for the workloads that there is something to
// change in, in the order of the decisions. all: also those that show nothing of
// an LLM.
func Plans(out decide.Outcome, all bool) ([]Plan, error) {
	catalogue, err := images()
	if err != nil {
		return nil, err
	}
	var plans []Plan
	for _, d := range out.Decisions {
		if d.Row.RiskClass == risk.None && !all {
			continue
		}
		p := Plan{Decision: d}
		for _, c := range d.Changes {
			p.add(c.Rule, c.Path, c.Value)
		}
		for _, w := range d.Pods {
			if w.Source == d.Workload.Object && w.Bare == "" && !w.Assembled {
				pod := &podPlan{Plan: &p, images: catalogue, w: w, grown: map[string]int{}}
				pod.pod()
			}
		}
		if len(p.Changes) == 0 {
			continue
		}
		p.Kept = kept(d)
		plans = append(plans, p)
	}
	return plans, nil
}

// kept says why an object is not rewritten; "" where it is.
func kept(d decide.Decision) string {
	if slices.ContainsFunc(d.Pods, func(w *manifest.Workload) bool { return w.Assembled }) {
		return "its pods are put together from fields of " + d.Row.Kind + ", of which not every field of a pod is one: set what its controller takes"
	}
	return ""
}

func (p *Plan) add(rule string, at manifest.Path, value any) *Change {
	c := Change{Change: manifest.Change{Object: p.Decision.Workload.Object, Path: at, Value: value}, Rule: rule}
	c.Before, _ = manifest.Lookup(c.Object.Whole().Value, at)
	c.First = !slices.Contains(at, any("containers")) && !slices.Contains(at, any("initContainers")) && !slices.Contains(at, any("volumes"))
	known := effects()[rule]
	c.Breaks, c.See = known.breaks, known.see
	p.Changes = append(p.Changes, c)
	return &p.Changes[len(p.Changes)-1]
}

// tell says what the change may break and how that shows, where that is more than
// its rule knows.
func (c *Change) tell(breaks, see string) { c.Breaks, c.See = breaks, see }

// Edits returns the changes of all plans by the file that they are in.
func Edits(plans []Plan) map[string][]manifest.Change {
	out := map[string][]manifest.Change{}
	for _, p := range plans {
		if p.Kept != "" {
			continue
		}
		for _, c := range p.Changes {
			out[c.Object.File] = append(out[c.Object.File], c.Change)
		}
	}
	return out
}

// Row returns the plan as it is reported. after is what is decided about the
// workload as it will be, and around what is put around it.
func (p Plan) Row(after decide.Decision, around ...PolicySet) (report.Hardened, error) {
	row := p.Decision.Row
	out := report.Hardened{
		File: row.File, Line: row.Line, Kind: row.Kind, Namespace: row.Namespace, Name: row.Name,
		RiskClass: row.RiskClass, Changes: []report.Change{}, Findings: slices.Clone(after.Row.Findings), Kept: p.Kept,
	}
	if out.Findings == nil {
		out.Findings = []report.Finding{}
	}
	for _, c := range p.Changes {
		pos, _ := c.Object.Position(c.Path)
		out.Changes = append(out.Changes, report.Change{
			Rule: c.Rule, Path: c.Path.String(), Line: pos.Line, Before: show(c, c.Before), After: show(c, c.Value), Breaks: c.Breaks, See: c.See,
		})
		if c.Rule == "boundary" {
			clusterFirst(out.Findings, fmt.Sprint(c.Value))
		}
	}
	refusals, err := refusals(after)
	out.Findings = append(out.Findings, refusals...)
	for _, set := range around {
		set.addUp(out.Findings)
		for _, f := range set.Files {
			known := effects()[f.Rule]
			out.Added = append(out.Added, report.Added{Rule: f.Rule, File: f.Path, Object: f.Object, Breaks: known.breaks, See: known.see})
		}
		out.Findings = append(out.Findings, set.Findings...)
	}
	return out, err
}

// clusterFirst says what the cluster needs before a workload can start with the
// RuntimeClass that it was given, where the input does not have that.
func clusterFirst(findings []report.Finding, name string) {
	for i, f := range findings {
		if f.Rule != "boundary-unknown" {
			continue
		}
		rt := boundary.Runtime(name)
		findings[i].Message = fmt.Sprintf("the cluster needs RuntimeClass %s first: it is not in the input, and without it the pod is not started", name)
		findings[i].Fix = fmt.Sprintf("kubectl get runtimeclass %s; where there is none, install the runtime on the nodes and add a RuntimeClass %s with handler %s; then name it with the input", name, name, rt.Handler())
	}
}

func show(c Change, v any) string {
	if _, entry := v.(map[string]any); entry {
		return text(v)
	}
	return cmp.Or(report.Value(c.Path.String(), v), text(v))
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
