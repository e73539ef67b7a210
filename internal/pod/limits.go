package pod

import (
	"maps"
	"math"
	"slices"
	"strings"
)

// The resources whose limits a sandbox can hold, by Kubernetes' names.
const (
	CPU    = "cpu"
	Memory = "memory"
)

// Limits are the most that may be taken of resources, by name: of CPU in
// thousandths of a processor, of any other in its own unit (memory: bytes).
type Limits map[string]int64

// Limits are those of the sandbox, which holds all containers: the sum of what
// the containers may take that run at the same time, or what an init container
// may, if that is more. What one of them does not limit is not limited.
func (p *Pod) Limits() (limits Limits, notes []string) {
	limits = Limits{}
	names := map[string]bool{}
	for _, c := range p.Containers {
		for name := range c.Limits {
			names[name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		sum, without := p.limit(name)
		if len(without) > 0 {
			notes = append(notes, name+" is not limited, because the containers share one sandbox and "+strings.Join(without, ", ")+" has no limit of it")
			continue
		}
		limits[name] = sum
	}
	if len(p.Containers) > 1 && len(limits) > 0 {
		notes = append(notes, "limits hold for all containers together")
	}
	return limits, notes
}

// limit is the most that the pod may take of a resource; without are the
// containers that may take any amount.
func (p *Pod) limit(name string) (most int64, without []string) {
	var sum, init int64
	for _, c := range p.Containers {
		n, ok := c.Limits[name]
		switch {
		case c.Role == Init:
			init = max(init, n)
		case !ok:
			without = append(without, c.Name)
		case n > math.MaxInt64-max(sum, 0):
			sum = math.MaxInt64
		default:
			sum += n
		}
	}
	return max(sum, init), without
}
