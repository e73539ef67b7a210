package harden

import (
	"fmt"
	"strings"

	psaapi "k8s.io/pod-security-admission/api"
	psa "k8s.io/pod-security-admission/policy"

	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// refusals are why a namespace that enforces Pod Security "restricted" would not
// take the pods: what a rewritten workload still has, somebody has to decide about.
func refusals(d decide.Decision) ([]report.Finding, error) {
	checks, err := psa.NewEvaluator(psa.DefaultChecks(), nil)
	if err != nil {
		return nil, fmt.Errorf("loading the Pod Security Standards: %w", err)
	}
	restricted := psaapi.LevelVersion{Level: psaapi.LevelRestricted, Version: psaapi.LatestVersion()}
	var out []report.Finding
	for _, w := range d.Pods {
		if w.Bare != "" || w.Source != d.Workload.Object {
			continue
		}
		pod, err := w.TypedPod()
		if err != nil {
			return nil, err
		}
		var why []string
		for _, r := range checks.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
			if !r.Allowed {
				why = append(why, strings.TrimSuffix(r.ForbiddenReason+" ("+r.ForbiddenDetail, " (")+")")
			}
		}
		if len(why) > 0 {
			at := w.ObjectPath(manifest.Path{"spec"})
			pos, _ := w.Source.Position(at)
			out = append(out, report.Finding{
				Rule: "pod-security", Severity: rules.Warning, Path: at.String(), Line: pos.Line, Column: pos.Column,
				Message: "a namespace that enforces Pod Security restricted refuses it: " + strings.Join(why, "; "),
				Fix:     "take out what it names, or keep the workload in a namespace of its own that enforces less",
			})
		}
	}
	return out, nil
}
