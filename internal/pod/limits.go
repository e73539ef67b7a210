package pod

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Limits are those of the sandbox, which holds all containers: the sum of what
// the containers may take that run at the same time, or what an init container
// may, if that is more. What one of them does not limit is not limited.
func (p *Pod) Limits() (limits corev1.ResourceList, notes []string) {
	limits = corev1.ResourceList{}
	var beside, inits []Container
	for _, c := range p.Containers {
		if c.Role == Init {
			inits = append(inits, c)
		} else {
			beside = append(beside, c)
		}
	}
	names := map[corev1.ResourceName]bool{}
	for _, c := range p.Containers {
		for name := range c.Limits {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		var without []string
		var sum resource.Quantity
		for _, c := range beside {
			q, ok := c.Limits[name]
			if !ok {
				without = append(without, c.Name)
			}
			sum.Add(q)
		}
		for _, c := range inits {
			if q := c.Limits[name]; q.Cmp(sum) > 0 {
				sum = q
			}
		}
		if len(without) > 0 {
			notes = append(notes, string(name)+" is not limited, because the containers share one sandbox and "+strings.Join(without, ", ")+" has no limit of it")
			continue
		}
		limits[name] = sum
	}
	if len(p.Containers) > 1 && len(limits) > 0 {
		notes = append(notes, "limits hold for all containers together")
	}
	return limits, notes
}
