package decide

import (
	"slices"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// lift says once for the pod what several of its containers would say, where a
// pod has the field too and every container that does not say it itself needs it.
func lift(changes []change) []change {
	var out []change
	done := map[*manifest.Workload][]string{}
	for _, c := range changes {
		field := inherited(c)
		if field == nil || !liftable(changes, c.w, field) {
			out = append(out, c)
			continue
		}
		if name := field.String(); !slices.Contains(done[c.w], name) {
			done[c.w] = append(done[c.w], name)
			c.pod = manifest.Path{"spec"}.Join(field...)
			c.Path, c.Container = c.w.ObjectPath(c.pod), ""
			out = append(out, c)
		}
	}
	return out
}

// inherited returns the field that a change sets in a container which does not
// have it, if containers take it from their pod; nil otherwise.
func inherited(c change) manifest.Path {
	if len(c.pod) < 5 || c.pod[0] != "spec" || c.pod[3] != "securityContext" {
		return nil
	}
	if _, said := manifest.Lookup(c.w.Pod, c.pod); said {
		return nil
	}
	switch c.pod[4] {
	case "runAsNonRoot", "runAsUser", "seccompProfile":
		return c.pod[3:]
	}
	return nil
}

// liftable reports whether saying it for the pod is shorter, and means the same.
func liftable(changes []change, w *manifest.Workload, field manifest.Path) bool {
	needs := 0
	for _, c := range changes {
		if f := inherited(c); c.w == w && f != nil && f.String() == field.String() {
			needs++
		}
	}
	spec, _ := w.Pod["spec"].(map[string]any)
	silent := 0
	eachContainer(spec, func(_ string, _ int, c map[string]any) {
		if _, said := manifest.Lookup(c, field); !said {
			silent++
		}
	})
	_, has := spec["securityContext"].(map[string]any)
	return needs == silent && (needs > 1 || has)
}
