package harden

import (
	"fmt"

	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// RuntimeRule is the rule of findings about what a cluster needs before pods start.
const RuntimeRule = "runtime-absent"

// Absent are findings for the workloads whose RuntimeClass a cluster does not have,
// or whose handler none of its nodes has. cluster are its RuntimeClasses, all of
// them, and its nodes; input are objects that are applied with the workloads.
func Absent(out decide.Outcome, all bool, input, cluster []*manifest.Object) []PolicySet {
	handlers, known := nodeHandlers(cluster)
	var sets []PolicySet
	for i, d := range out.Decisions {
		name := d.Row.Boundary.RuntimeClassName
		if name == "" || d.Row.RiskClass == risk.None && !all {
			continue
		}
		set := PolicySet{Workload: d.Workload.Object, Index: i}
		handler, there := handlerOf(name, input, cluster)
		switch {
		case !there:
			set.absent(fmt.Sprintf("the cluster has no RuntimeClass %s: its pods would be refused", name),
				"install the runtime on the nodes, and apply first:",
				"apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: "+name+"}\nhandler: HANDLER-OF-THE-NODES")
		case known && !handlers[handler]:
			set.absent(fmt.Sprintf("no node of the cluster has the handler %s of RuntimeClass %s: its pods would not start", handler, name),
				"install the runtime on the nodes first; `kubectl get nodes -o jsonpath='{.items[*].status.runtimeHandlers}'` shows what they have", "")
		}
		if len(set.Findings) > 0 {
			sets = append(sets, set)
		}
	}
	return sets
}

// handlerOf returns the handler of a RuntimeClass of the input, else of the cluster.
func handlerOf(name string, lists ...[]*manifest.Object) (handler string, there bool) {
	for _, objects := range lists {
		for _, o := range objects {
			if o.Kind == "RuntimeClass" && o.Name == name {
				handler, _ = o.Whole().Value["handler"].(string)
				return handler, true
			}
		}
	}
	return "", false
}

// nodeHandlers are the handlers that nodes report. known is false where some do not
// report theirs, which older ones do not.
func nodeHandlers(cluster []*manifest.Object) (handlers map[string]bool, known bool) {
	handlers = map[string]bool{}
	for _, o := range cluster {
		if o.Kind != "Node" {
			continue
		}
		v, _ := manifest.Lookup(o.Whole().Value, manifest.Path{"status", "runtimeHandlers"})
		list, _ := v.([]any)
		if len(list) == 0 {
			return nil, false
		}
		known = true
		for _, item := range list {
			m, _ := item.(map[string]any)
			name, _ := m["name"].(string)
			handlers[name] = true
		}
	}
	return handlers, known
}

func (s *PolicySet) absent(message, fix, example string) {
	at := manifest.Path{"spec"}
	pos, _ := s.Workload.Position(at)
	s.Findings = append(s.Findings, report.Finding{Rule: RuntimeRule, Severity: rules.Warning, Path: at.String(), Line: pos.Line, Column: pos.Column, Message: message, Fix: fix, Example: example})
}
