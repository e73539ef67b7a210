package decide

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// Decision is the outcome for one workload: the row of the report, and what it
// was made from.
type Decision struct {
	Row report.Workload
	// Changes are what mends the findings of which that is known: those of
	// Row.Patch.
	Changes []Change
	// Workload is the pod; of several, the one that shows the highest class. Nil
	// where only rows are kept.
	Workload *manifest.Workload
	// Pods are all of its pods. Nil where only rows are kept.
	Pods        []*manifest.Workload
	Requirement boundary.Requirement
	// Accepted is the boundary that is enough when the waivers in force count:
	// Requirement.Boundary, or a weaker one.
	Accepted boundary.Boundary
	// Waiver is the waiver that lowered Accepted, nil where none did.
	Waiver *config.Waiver
	// Matched are the waivers that had something to accept here, or have run out.
	Matched []*config.Waiver
}

// Outcome is what was decided about one input.
type Outcome struct {
	Decisions    []Decision
	NotEvaluated []report.NotEvaluated
	// RuntimeClasses are those that are known, by name.
	RuntimeClasses []report.RuntimeClass
	// Errors are objects of the input that could not be used.
	Errors []*manifest.Error
	// Routes are those by which it was decided.
	Routes boundary.Routes
	index  *index
}

// Report returns the outcome in the form of the contract.
func (o Outcome) Report() report.Report {
	rows := make([]report.Workload, len(o.Decisions))
	for i, d := range o.Decisions {
		rows[i] = d.Row
	}
	return report.New(rows, o.NotEvaluated, o.RuntimeClasses)
}

// Decide judges every workload of the input.
func (d *Decider) Decide(objects []*manifest.Object) (Outcome, error) {
	var out Outcome
	ix, errs := newIndex(objects, d.cfg)
	out.Errors, out.RuntimeClasses = errs, ix.runtimeClasses(d.cfg.File)
	out.Routes, out.index = d.cfg.Routes, ix
	refs := d.scheme.Referred(objects)
	results := make([]judged, len(objects))
	inParallel(len(objects), func(i int) { results[i] = d.object(objects[i], refs, ix) })
	for _, j := range results {
		switch {
		case j.err != nil:
			return Outcome{}, j.err
		case j.bad != nil:
			out.Errors = append(out.Errors, j.bad)
		case j.decided:
			out.Decisions = append(out.Decisions, j.decision)
		}
		if j.notEvaluated != nil {
			out.NotEvaluated = append(out.NotEvaluated, *j.notEvaluated)
		}
	}
	return out, nil
}

// judged is what came out for one object: nothing, where it is no workload.
type judged struct {
	decision     Decision
	decided      bool
	notEvaluated *report.NotEvaluated
	bad          *manifest.Error
	err          error
}

// object judges one object. It changes nothing that others see.
func (d *Decider) object(o *manifest.Object, refs manifest.Referred, ix *index) judged {
	pods, reason, bad := d.scheme.Workloads(o, refs)
	if bad != nil {
		return judged{bad: bad}
	}
	var j judged
	if reason != "" {
		j.notEvaluated = &report.NotEvaluated{File: o.File, Line: line(o), Kind: o.Kind, Name: o.Name, Reason: reason}
	}
	if len(pods) == 0 {
		return j
	}
	var err error
	if j.decision, err = d.workload(pods, ix); err != nil {
		return judged{err: fmt.Errorf("%s:%d: %s/%s: %w", o.File, line(o), o.Kind, o.Name, err)}
	}
	j.decided = true
	if d.rowsOnly {
		j.decision.Workload, j.decision.Pods = nil, nil
	}
	return j
}

// inParallel calls do with 0 to n-1, on as many threads as there are.
func inParallel(n int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

func line(o *manifest.Object) int {
	pos, _ := o.Position(nil)
	return pos.Line
}

// replicas is how many pods the object asks for; 0 where it does not say.
func replicas(o *manifest.Object) int {
	v, _ := manifest.Lookup(o.Value, manifest.Path{"spec", "replicas"})
	n, _ := v.(int64)
	return int(n)
}
