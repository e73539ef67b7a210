package decide

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/risk"
)

// Plan is what has to be known before a workload is run: what it is, which
// boundary it must have, and the pod itself.
type Plan struct {
	Pod   *corev1.Pod
	Class risk.Class
	Flags risk.Flags
	// Required is the boundary by the route; Reason says why.
	Required boundary.Boundary
	Reason   string
	// Accepted is the weakest boundary that may be used: Required, or a weaker
	// one that a waiver in force accepts.
	Accepted boundary.Boundary
	// Runtimes are those that the route names, best first; any other with at
	// least Accepted may be used too.
	Runtimes []boundary.Runtime
	// Waiver is "below the default route, waived by OWNER until DATE (TICKET):
	// REASON" where a waiver lowers Accepted below Required, else "". It is to
	// be said only where what runs is really below Required.
	Waiver string
	// Row is the whole outcome, as `bulkhead check` reports it.
	Row report.Workload
	// Objects are all objects of the manifest.
	Objects []*manifest.Object
}

// NewPlan decides about the workload of a manifest that is called name, or
// kind/name; empty: about its single one. file stands in messages. Other objects of the same text (NetworkPolicies, RuntimeClasses)
// count as in `bulkhead check`. Errors carry a hint and the exit code for bad input.
func NewPlan(file, name string, text []byte, cfg config.Config, now time.Time) (Plan, error) {
	batch := manifest.Read(file, bytes.NewReader(text), manifest.DefaultLimits())
	d, err := New(cfg, now)
	if err != nil {
		return Plan{}, err
	}
	out, err := d.Decide(batch.Objects)
	if err != nil {
		return Plan{}, err
	}
	if errs := append(batch.Errors, out.Errors...); len(errs) > 0 {
		return Plan{}, fault.WithHint(fault.WithCode(errs[0], fault.Usage), errs[0].Hint)
	}
	dec, err := one(file, name, out)
	if err != nil {
		return Plan{}, err
	}
	pod, err := dec.Workload.TypedPod()
	if err != nil {
		return Plan{}, fault.WithHint(fault.WithCode(err, fault.Usage), "see `kubectl explain pod.spec`")
	}
	if pod.Name == "" {
		pod.Name = dec.Workload.Name
	}
	p := Plan{
		Pod: pod, Class: dec.Row.RiskClass,
		Flags:    risk.Flags{Spawner: dec.Row.Spawner, TenantData: dec.Row.TenantData, BroadEgress: dec.Row.BroadEgress},
		Required: dec.Requirement.Boundary, Reason: dec.Requirement.Reason,
		Accepted: dec.Accepted, Runtimes: dec.Requirement.Runtimes, Row: dec.Row,
		Objects: batch.Objects,
	}
	if dec.Waiver != nil {
		p.Waiver = BelowRoute(*dec.Waiver)
	}
	return p, nil
}

// one picks the workload that is meant.
func one(file, name string, out Outcome) (Decision, error) {
	var found []Decision
	var names []string
	for _, d := range out.Decisions {
		kind, called, both := strings.Cut(name, "/")
		if name == "" || d.Row.Name == name || both && strings.EqualFold(d.Row.Kind, kind) && d.Row.Name == called {
			found = append(found, d)
		}
		names = append(names, d.Row.Kind+"/"+d.Row.Name)
	}
	reason, hint := "", "name one with --pod, as NAME or KIND/NAME"
	switch {
	case len(found) == 1 && found[0].Workload.Bare == "":
		return found[0], nil
	case len(found) == 1:
		d := found[0]
		reason = fmt.Sprintf("%s:%d: %s/%s: %s", file, d.Row.Line, d.Row.Kind, d.Row.Name, d.Workload.Bare)
		hint = "give the pod itself"
	case len(names) > 0 && name == "":
		reason = fmt.Sprintf("%s has %d workloads: %s", file, len(names), strings.Join(names, ", "))
	case len(names) > 0:
		reason = fmt.Sprintf("%s has %d workloads called %s; it has %s", file, len(found), name, strings.Join(names, ", "))
	case len(out.NotEvaluated) > 0:
		n := out.NotEvaluated[0]
		reason = fmt.Sprintf("%s:%d: %s/%s is not evaluated: %s", n.File, n.Line, n.Kind, n.Name, n.Reason)
		hint = "give the pod itself"
	default:
		reason = file + " has no workload"
		hint = "name a file with a Pod (or another workload of a known kind)"
	}
	return Decision{}, fault.WithHint(fault.WithCode(errors.New(reason), fault.Usage), hint)
}
