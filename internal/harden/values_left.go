package harden

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// ValueRule is the rule of findings about what no value of a chart may reach.
const ValueRule = "chart-value"

// Left are findings about values that the schema of a chart refuses, for the
// workloads that they would reach. err is what Run returned.
func (s *Search) Left(out decide.Outcome, err error) []PolicySet {
	var sets []PolicySet
	for i, d := range out.Decisions {
		set := PolicySet{Workload: d.Workload.Object, Index: i}
		for _, r := range s.Refused {
			var fields []string
			for _, place := range r.Reaches {
				if field, ok := strings.CutPrefix(place, label(set.Workload)+": "); ok {
					fields = append(fields, field)
				}
			}
			if len(fields) > 0 {
				set.left(fmt.Sprintf("the chart's schema refuses its value %s, which would reach %s: it is in the post-render patch (%v)", r.Path, strings.Join(fields, ", "), r.Err),
					"allow the value in the schema of the chart, or keep the patch")
			}
		}
		if err != nil && slices.ContainsFunc(d.Row.Findings, func(f report.Finding) bool { return f.Patched }) {
			set.left(fmt.Sprintf("no value of the chart was tried, because its schema refuses those that it has: what can be changed is in the post-render patch (%v)", err),
				"see that the values fit (`helm lint`); a schema that refers to others is not looked up")
		}
		if len(set.Findings) > 0 {
			sets = append(sets, set)
		}
	}
	return sets
}

func (s *PolicySet) left(message, fix string) {
	at := manifest.Path{"spec"}
	pos, _ := s.Workload.Position(at)
	s.Findings = append(s.Findings, report.Finding{Rule: ValueRule, Severity: rules.Warning, Path: at.String(), Line: pos.Line, Column: pos.Column, Message: message, Fix: fix})
}
