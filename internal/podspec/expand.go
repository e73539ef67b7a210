package podspec

import "strings"

// expand replaces $(NAME) by its value. $$ is a dollar sign, and a name without
// a value stays as it is written.
func expand(text string, values map[string]string) string {
	return expandBy(text, func(name string) string {
		if value, ok := values[name]; ok {
			return value
		}
		return "$(" + name + ")"
	})
}

// expandBy replaces $(NAME) by what value says.
func expandBy(text string, value func(name string) string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		name, after, closed := strings.Cut(strings.TrimPrefix(rest, "("), ")")
		switch {
		case strings.HasPrefix(rest, "$"):
			out.WriteByte('$')
			text = rest[1:]
		case strings.HasPrefix(rest, "(") && closed:
			out.WriteString(value(name))
			text = after
		default:
			out.WriteByte('$')
			text = rest
		}
	}
}

func expandAll(texts []string, values map[string]string) []string {
	var out []string
	for _, t := range texts {
		out = append(out, expand(t, values))
	}
	return out
}
