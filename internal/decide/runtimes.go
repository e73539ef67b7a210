package decide

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/risk"
)

// runtime finds what the pod's own runtime cannot give it, and what is wrong
// with how it is chosen.
func (j *judgement) runtime(claim boundary.Claim, verdict boundary.Verdict) {
	spec, _ := j.w.Pod["spec"].(map[string]any)
	at := manifest.Path{"spec", "runtimeClassName"}
	if name, set := spec["runtimeClassName"].(string); set && name == "" && j.llm() {
		j.find("runtime-class-empty", at, "", "")
	}
	rt, _ := boundary.RuntimeForHandler(claim.Handler)
	j.limits(rt, claim.Handler)
	if verdict == boundary.Unsatisfied {
		j.gpuConflict(rt, claim.Handler)
	}
	if class := j.ix.classes[claim.ClassName]; class.from != nil && claim.Boundary > boundary.SharedKernel {
		j.placement(class)
	}
}

// limits finds the fields that the runtime cannot honour.
func (j *judgement) limits(rt boundary.Runtime, handler string) {
	for _, a := range j.asks {
		l, ok := rt.LimitOf(a.what)
		if !ok {
			continue
		}
		rule := "runtime-ignores"
		if l.Effect == boundary.Refused {
			rule = "runtime-refuses"
		}
		if f := j.find(rule, a.at, a.container, fmt.Sprintf("%s with %s: %s", a.name, handler, l.Why)); f != nil {
			f.Fix = fmt.Sprintf("%s (see %s)", l.Fix, l.Reference)
		}
	}
}

// gpuConflict tells of a GPU that ties the pod to a runtime which is too weak.
func (j *judgement) gpuConflict(rt boundary.Runtime, handler string) {
	g, asks := gpu(j.asks)
	at, what := g.at, "asks for "+g.name
	if !asks {
		if rt != boundary.Nvidia {
			return
		}
		at, what = manifest.Path{"spec", "runtimeClassName"}, "uses the runtime of NVIDIA's container toolkit"
	}
	f := j.find("gpu-conflict", at, g.container, fmt.Sprintf("it %s, which %s gives on the node's own kernel, and it needs %s: the field that chooses the one chooses the other",
		what, orDefault(handler), j.requirement.Boundary))
	if f != nil {
		f.Fix = j.gpuWaysOut()
	}
}

func orDefault(handler string) string {
	if handler == "" {
		return "the default runtime"
	}
	return "handler " + handler
}

// gpuWaysOut names what can be done about a GPU that needs a boundary, the
// cheaper first.
func (j *judgement) gpuWaysOut() string {
	var ways []string
	if j.onlyBroadEgress() {
		ways = append(ways, fmt.Sprintf("limit its egress with a NetworkPolicy that names its peers: then %s is enough and nothing else changes", j.withoutBroadEgress()))
	} else {
		ways = append(ways, "leave the GPU to a model server in a pod of its own, and run the rest without it behind the boundary")
	}
	ways = append(ways, "let CDI inject the GPU, so that runtimeClassName is free to name a sandbox")
	if j.requirement.Boundary <= boundary.UserKernel {
		ways = append(ways, "with gVisor, have nvproxy = \"true\" in runsc's configuration: it passes on the calls of NVIDIA's driver and nothing else")
	}
	ways = append(ways, "with Kata, give it a whole GPU by VFIO (handler kata-qemu-nvidia-gpu, resource nvidia.com/pgpu)")
	return strings.Join(ways, "; or ")
}

// placement finds what the RuntimeClass itself leaves to chance.
func (j *judgement) placement(class runtimeClass) {
	at := manifest.Path{"scheduling"}
	if !class.scheduled {
		j.findIn("runtime-class-nodes", class.from, at, "", fmt.Sprintf("RuntimeClass %s has no scheduling: its pods also land on nodes that do not have handler %s, and do not start there", class.from.Name, class.handler))
	}
	if class.memory == 0 {
		j.findIn("runtime-class-overhead", class.from, manifest.Path{"overhead"}, "", fmt.Sprintf("RuntimeClass %s declares no memory overhead: what the sandbox itself uses is counted against nobody", class.from.Name))
	}
}

// fixUnknown says how the handler of a RuntimeClass becomes known. That of a name
// which clouds and installers use can be told, to be confirmed.
func (j *judgement) fixUnknown(f *report.Finding, name string) {
	if f == nil || name == "" {
		return
	}
	if _, known := boundary.RuntimeForHandler(name); known {
		f.Fix += fmt.Sprintf(" (by its name perhaps `%s: %s`: confirm with kubectl get runtimeclass %s -o jsonpath={.handler})", name, name, name)
	}
}

// fixBoundary says how the boundary is reached: by the RuntimeClass of the
// input that the route likes best, else by one that is still to be made. Where
// only broad egress raised the requirement, the cheaper way out comes first,
// and the patch leaves the choice open; so it does where a GPU stands in the way.
func (j *judgement) fixBoundary(f *report.Finding, at manifest.Path) {
	if f == nil {
		return
	}
	if _, ok := gpu(j.asks); ok {
		f.Fix = j.gpuWaysOut()
		return
	}
	name, rt := j.bestRuntimeClass()
	if name == "" {
		rt = j.bestRuntime()
		name = string(rt)
		if class, taken := j.ix.classes[name]; taken {
			j.fixClass(f, name, class, rt)
			return
		}
		f.Fix = fmt.Sprintf("add a RuntimeClass %s with handler %s to the cluster, and set runtimeClassName: %s", name, rt.Handler(), name)
		f.Example = fmt.Sprintf("apiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata:\n  name: %s\nhandler: %s\n", name, rt.Handler())
	} else {
		f.Fix, f.Patched = "set runtimeClassName: "+name, true
	}
	if lost := lost(rt, j.asks); len(lost) > 0 {
		f.Fix += fmt.Sprintf("; %s cannot give it %s, so change that too", rt, strings.Join(lost, ", "))
	}
	if j.onlyBroadEgress() {
		f.Fix = fmt.Sprintf("limit its egress with a NetworkPolicy that names its peers (then %s is enough), or %s", j.withoutBroadEgress(), f.Fix)
		f.Patched, f.Example = false, ""
		return
	}
	j.change(at, name)
}

// fixClass says what the cluster needs where the RuntimeClass that the route would
// have has another handler: to name it would only look like a boundary.
func (j *judgement) fixClass(f *report.Finding, name string, class runtimeClass, rt boundary.Runtime) {
	gives := "which is not known to give a boundary"
	if b := class.boundary(); b != 0 {
		gives = "which gives " + b.String()
	}
	where := j.cfg.File
	if class.from != nil {
		where = fmt.Sprintf("%s:%d", class.from.File, line(class.from))
	}
	f.Fix = fmt.Sprintf("RuntimeClass %s has handler %s (%s), %s; a handler cannot be changed: replace the class by one with handler %s, or add one of another name and set that",
		name, class.handler, where, gives, rt.Handler())
}

// bestRuntimeClass returns the known RuntimeClass that gives the boundary and
// stands first in the route, of those that start the pod; "" where none does.
func (j *judgement) bestRuntimeClass() (string, boundary.Runtime) {
	return j.ix.bestClass(j.requirement, j.asks)
}

// bestClass is the choice of a RuntimeClass for what is required and asked for.
func (ix *index) bestClass(req boundary.Requirement, all []ask) (string, boundary.Runtime) {
	best, name, with := len(req.Runtimes)+1, "", boundary.Runtime("")
	for _, n := range slices.Sorted(maps.Keys(ix.classes)) {
		class := ix.classes[n]
		rt, _ := boundary.RuntimeForHandler(class.handler)
		if !class.boundary().Satisfies(req.Boundary) || unfit(rt, all) != nil {
			continue
		}
		rank := slices.Index(req.Runtimes, rt)
		if rank < 0 {
			rank = len(req.Runtimes)
		}
		if rank < best {
			best, name, with = rank, n, rt
		}
	}
	return name, with
}

// bestRuntime returns the first runtime of the route that starts the pod, else
// the first of all that give the boundary and start it, else the route's first.
func (j *judgement) bestRuntime() boundary.Runtime {
	for _, rt := range slices.Concat(j.requirement.Runtimes, boundary.Runtimes()) {
		if b, _ := rt.Boundary(); b.Satisfies(j.requirement.Boundary) && unfit(rt, j.asks) == nil {
			return rt
		}
	}
	return j.requirement.Runtimes[0]
}

// unfit returns the first thing asked for without which the pod is of no use on
// the runtime: it does not start, or starts without its GPU.
func unfit(rt boundary.Runtime, all []ask) *ask {
	for i := range all {
		l, ok := rt.LimitOf(all[i].what)
		if ok && (l.Effect == boundary.Refused || l.Ask == boundary.NvidiaGPU) {
			return &all[i]
		}
	}
	return nil
}

// lost names what the pod asks for and the runtime does not give.
func lost(rt boundary.Runtime, all []ask) []string {
	var names []string
	for _, a := range all {
		if _, ok := rt.LimitOf(a.what); ok && !slices.Contains(names, a.name) {
			names = append(names, a.name)
		}
	}
	return names
}

// onlyBroadEgress reports whether nothing but broad egress raised what is required.
func (j *judgement) onlyBroadEgress() bool {
	return slices.Equal(j.requirement.RaisedBy, []string{"broad-egress"})
}

// withoutBroadEgress is the boundary that would be enough without broad egress.
func (j *judgement) withoutBroadEgress() string {
	return j.cfg.Routes.Require(j.row.RiskClass, risk.Flags{TenantData: j.row.TenantData}).Boundary.String()
}
