package harden

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/risk"
)

// podPlan adds to a plan what one of its pods needs beside the fields that
// findings name.
type podPlan struct {
	*Plan
	images []image
	w      *manifest.Workload
	spec   map[string]any
	// grown is how many entries were added to lists, by their path in the pod.
	grown map[string]int
}

func (p *podPlan) pod() {
	p.spec, _ = p.w.Pod["spec"].(map[string]any)
	for _, list := range []string{"containers", "initContainers"} {
		items, _ := p.spec[list].([]any)
		for i, item := range items {
			c, _ := item.(map[string]any)
			at := manifest.Path{"spec", list, i}
			if p.changes(at.Join("securityContext", "readOnlyRootFilesystem")) {
				p.writable(at, c)
			}
			if list == "containers" {
				p.resources(at, c)
			}
		}
	}
}

// changes reports whether the field at a path of the pod is going to be changed.
func (p *podPlan) changes(at manifest.Path) bool {
	path := p.w.ObjectPath(at).String()
	return slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Path.String() == path })
}

// set adds a change of the pod.
func (p *podPlan) set(rule string, at manifest.Path, value any) *Change {
	return p.add(rule, p.w.ObjectPath(at), value)
}

// push adds an entry to a list of the pod.
func (p *podPlan) push(rule string, at manifest.Path, entry map[string]any) *Change {
	old, _ := manifest.Lookup(p.w.Pod, at)
	has, _ := old.([]any)
	n := len(has) + p.grown[at.String()]
	p.grown[at.String()]++
	return p.set(rule, at.Join(n), entry)
}

const readOnly = "read-only-root"

// writable gives a container whose root file system becomes read-only an
// emptyDir for each folder that its image writes: those of a known image, else
// /tmp.
func (p *podPlan) writable(at manifest.Path, c map[string]any) {
	ref, _ := c["image"].(string)
	is, found := known(p.images, ref)
	if !found {
		is = image{Writable: []string{"/tmp"}, Why: "what the image writes is not known, and nearly every program wants /tmp"}
	}
	for _, folder := range is.Writable {
		if mounted(c, folder) {
			continue
		}
		name := p.volumeName(c, folder)
		p.push(readOnly, manifest.Path{"spec", "volumes"}, map[string]any{"name": name, "emptyDir": map[string]any{}}).
			tell("what is written there is gone with the pod", "kubectl describe pod shows the volume "+name)
		p.push(readOnly, at.Join("volumeMounts"), map[string]any{"name": name, "mountPath": folder}).
			tell("files that the image has in "+folder+" are hidden ("+is.Why+")", "`No such file or directory` in the log of the container, with a name below "+folder)
	}
	env, _ := c["env"].([]any)
	for _, name := range sorted(is.Env) {
		if !slices.ContainsFunc(env, func(e any) bool { m, _ := e.(map[string]any); return m["name"] == name }) {
			p.push(readOnly, at.Join("env"), map[string]any{"name": name, "value": is.Env[name]}).
				tell("a program that expects another "+name+" looks elsewhere", "the log of the container")
		}
	}
	user := at.Join("securityContext", "runAsUser")
	if found && p.noUser(at) && !p.changes(user) {
		p.set("run-as-non-root", user, is.User).
			tell("files of another user in volumes cannot be written", "`Permission denied` in the log of the container; give the pod an fsGroup then")
	}
}

// noUser reports whether neither the container nor its pod says which user it is.
func (p *podPlan) noUser(at manifest.Path) bool {
	for _, field := range []manifest.Path{at.Join("securityContext", "runAsUser"), {"spec", "securityContext", "runAsUser"}} {
		if _, said := manifest.Lookup(p.w.Pod, field); said {
			return false
		}
	}
	return true
}

// mounted reports whether something is mounted on a folder, or on one above it.
func mounted(c map[string]any, folder string) bool {
	mounts, _ := c["volumeMounts"].([]any)
	for _, m := range mounts {
		mount, _ := m.(map[string]any)
		at, _ := mount["mountPath"].(string)
		if at = path.Clean("/" + at); at != "/" && (folder == at || strings.HasPrefix(folder, at+"/")) {
			return true
		}
	}
	return false
}

// volumeName names a volume after its folder, and its container where the pod has
// several: they share nothing that they did not share before.
func (p *podPlan) volumeName(c map[string]any, folder string) string {
	name := strings.NewReplacer("/", "-", ".", "-", "_", "-").Replace(strings.ToLower(strings.Trim(folder, "/")))
	containers, _ := p.spec["containers"].([]any)
	inits, _ := p.spec["initContainers"].([]any)
	if len(containers)+len(inits) > 1 {
		own, _ := c["name"].(string)
		name = strings.Trim(own+"-"+name, "-")
	}
	if len(name) > 60 {
		name = strings.Trim(name[:60], "-")
	}
	for n, try := 2, name; ; n++ {
		if !p.volumeTaken(try) {
			return try
		}
		try = fmt.Sprintf("%s-%d", name, n)
	}
}

func (p *podPlan) volumeTaken(name string) bool {
	volumes, _ := p.spec["volumes"].([]any)
	for _, c := range p.Changes {
		volumes = append(volumes[:len(volumes):len(volumes)], c.Value)
	}
	return slices.ContainsFunc(volumes, func(v any) bool {
		m, _ := v.(map[string]any)
		_, mount := m["mountPath"]
		return m["name"] == name && !mount
	})
}

// resourcesRule names changes that no finding asks for: without them one workload
// can starve its node.
const resourcesRule = "resources"

// resources gives a container what it lacks of requests and of a limit of memory.
// How much a model server needs is in its model, and not guessed.
func (p *podPlan) resources(at manifest.Path, c map[string]any) {
	switch p.Decision.Row.RiskClass {
	case risk.Retrieval, risk.ToolCalling, risk.CodeExecution:
	default:
		return
	}
	has := func(kind, what string) bool {
		_, ok := manifest.Lookup(c, manifest.Path{"resources", kind, what})
		return ok
	}
	_, claims := manifest.Lookup(c, manifest.Path{"resources", "claims"})
	_, ofPod := p.spec["resources"]
	if claims || ofPod {
		return
	}
	set := func(kind, what, value, breaks, see string) {
		p.set(resourcesRule, at.Join("resources", kind, what), value).tell(breaks, see)
	}
	if !has("requests", "cpu") && !has("limits", "cpu") {
		set("requests", "cpu", "100m", "a full node takes one pod less", "kubectl describe pod: Insufficient cpu")
	}
	if !has("limits", "memory") {
		limit := "1Gi"
		if !has("requests", "memory") {
			set("requests", "memory", "256Mi", "a full node takes one pod less", "kubectl describe pod: Insufficient memory")
		} else if v, _ := manifest.Lookup(c, manifest.Path{"resources", "requests", "memory"}); v != nil {
			limit = fmt.Sprint(v) // what it asks for is what it says it needs
		}
		set("limits", "memory", limit, "a program that needs more than "+limit+" is killed", "kubectl describe pod: OOMKilled; give it what kubectl top pod shows, and some more")
	}
	if p.Decision.Row.RiskClass == risk.CodeExecution && !has("limits", "cpu") {
		set("limits", "cpu", "1", "code that could use more than one processor is slower", "container_cpu_cfs_throttled_periods_total")
	}
}
