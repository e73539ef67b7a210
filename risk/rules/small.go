package rules

// Bounds of a pod that is small: far below those of variables.oversized.
const (
	smallContainers = 20
	smallList       = 150
	smallText       = 16 << 10
)

// small reports that a pod is far from oversized, at a fraction of what the
// variable costs. What is not as expected is not small.
func small(pod map[string]any) bool {
	spec, _ := pod["spec"].(map[string]any)
	left := smallText
	list := func(v any, most int) []any {
		items, ok := v.([]any)
		if v != nil && !ok || len(items) > most {
			left = -1
		}
		return items
	}
	word := func(v any) {
		s, ok := v.(string)
		if v != nil && !ok || len(s) > 512 {
			left = -1
		}
		left -= len(s) + 1
	}
	list(spec["volumes"], smallList)
	for _, name := range containerLists {
		for _, item := range list(spec[name], smallContainers) {
			c, ok := item.(map[string]any)
			if !ok {
				return false
			}
			word(c["image"])
			list(c["ports"], smallList)
			list(c["volumeMounts"], smallList)
			for _, field := range [...]string{"command", "args"} {
				for _, w := range list(c[field], smallList) {
					s, ok := w.(string)
					if !ok {
						return false
					}
					left -= len(s) + 1
				}
			}
			for _, item := range list(c["env"], smallList) {
				e, ok := item.(map[string]any)
				if !ok {
					return false
				}
				word(e["name"])
				if s, ok := e["value"].(string); ok {
					left -= len(s)
				} else if e["value"] != nil {
					return false
				}
			}
		}
	}
	return left >= 0
}
