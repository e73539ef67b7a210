package rules

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// anyEntry is the segment of a pattern that goes through a list.
const anyEntry = "[*]"

// parsePattern splits a relative path such as `volumeMounts[*].mountPath` or
// `metadata.labels["a/b"]` into keys and anyEntry.
func parsePattern(s string) ([]string, error) {
	var segs []string
	for rest := s; rest != ""; {
		switch {
		case strings.HasPrefix(rest, anyEntry):
			segs, rest = append(segs, anyEntry), rest[len(anyEntry):]
		case strings.HasPrefix(rest, `["`):
			end := strings.Index(rest, `"]`)
			if end < 0 {
				return nil, fmt.Errorf("at %q: missing \"]", s)
			}
			segs, rest = append(segs, rest[2:end]), rest[end+2:]
		default:
			rest = strings.TrimPrefix(rest, ".")
			end := strings.IndexAny(rest, ".[")
			if end < 0 {
				end = len(rest)
			}
			if end == 0 {
				return nil, fmt.Errorf("at %q: empty key", s)
			}
			segs, rest = append(segs, rest[:end]), rest[end:]
		}
	}
	if len(segs) == 0 || segs[0] == anyEntry {
		return nil, fmt.Errorf("at %q: it begins with a field", s)
	}
	return segs, nil
}

// Expression renders the rule to one boolean CEL expression over object and
// variables: what a ValidatingAdmissionPolicy evaluates; see Pod.Matches.
func (r *Rule) Expression() string {
	if r.Large {
		return r.judged()
	}
	return "!variables.oversized && " + r.judged()
}

// judged is the expression for pods that are not oversized.
func (r *Rule) judged() string {
	var pod, container, lines, names []string
	for _, a := range r.Any {
		switch {
		case len(a.Command) > 0:
			lines = append(lines, fmt.Sprintf("line.matches(%s)", quote(commandPattern(a.Command))))
		case len(a.Env) > 0:
			names = append(names, fmt.Sprintf("names.matches(%s)", quote(envPattern(a.Env))))
		case a.Each == "pod":
			pod = append(pod, a.predicates("object")...)
		default:
			container = append(container, a.predicates("c")...)
		}
	}
	any := pod
	if len(container) > 0 {
		any = append(any, "variables.containers.exists(c, "+or(container)+")")
	}
	if len(lines) > 0 {
		any = append(any, "variables.commandLines.exists(line, "+or(lines)+")")
	}
	if len(names) > 0 {
		any = append(any, "variables.envNames.exists(names, "+or(names)+")")
	}
	expr := or(any)
	if len(any) > 1 {
		expr = "(" + expr + ")"
	}
	if r.If != "" {
		expr = "(" + r.If + ") && " + expr
	}
	return expr
}

func or(terms []string) string { return strings.Join(terms, " || ") }

// predicates renders one boolean a path.
func (a *Alternative) predicates(base string) []string {
	at, when, absent := a.general()
	var out []string
	for _, path := range at {
		segs, err := parsePattern(path)
		if err != nil {
			continue // refused by validate
		}
		out = append(out, predicate(base, segs, when, absent, 0))
	}
	return out
}

// general returns the alternative in the long form, for all forms but Command.
func (a *Alternative) general() (at Strings, when, absent string) {
	switch {
	case len(a.Image) > 0:
		return Strings{"image"}, "v.matches(" + quote(ImagePattern(a.Image)) + ")", "false"
	case len(a.Env) > 0:
		return Strings{"env[*].name"}, "v.matches(" + quote(envPattern(a.Env)) + ")", "false"
	}
	return a.At, orFalse(a.When), orFalse(a.Absent)
}

func orFalse(s string) string {
	if s == "" {
		return "false"
	}
	return s
}

// predicate renders: the value at segs below base satisfies when; absent
// decides where it does not exist.
func predicate(base string, segs []string, when, absent string, depth int) string {
	list := -1
	for i, s := range segs {
		if s == anyEntry {
			list = i
			break
		}
	}
	if list < 0 {
		return fmt.Sprintf("%s.optMap(v, %s).orValue(%s)", fields(base, segs), when, absent)
	}
	entry := fmt.Sprintf("e%d", depth)
	rest := segs[list+1:]
	inner := ""
	if len(rest) > 0 {
		inner = predicate(entry, rest, when, absent, depth+1)
	} else { // the entry itself is the value
		entry, inner = "v", when
	}
	return fmt.Sprintf("%s.orValue([]).exists(%s, %s)", fields(base, segs[:list]), entry, inner)
}

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func fields(base string, segs []string) string {
	var b strings.Builder
	b.WriteString(base)
	for _, s := range segs {
		if identifier.MatchString(s) {
			b.WriteString(".?" + s)
		} else {
			b.WriteString("[?" + quote(s) + "]")
		}
	}
	return b.String()
}

// ImagePattern is a pattern for images whose repository ends in one of the
// names: one or more components, in which `*` is any characters of one.
func ImagePattern(names []string) string {
	alternatives := make([]string, len(names))
	for i, n := range names {
		alternatives[i] = strings.ReplaceAll(regexp.QuoteMeta(n), `\*`, `[^/:@]*`)
	}
	return "(^|/)(" + strings.Join(alternatives, "|") + ")(:[^/]*)?(@[^/]*)?$"
}

// envPattern matches a whole name among names that are joined by spaces.
func envPattern(names []string) string { return "(^| )(" + strings.Join(names, "|") + ")( |$)" }

func commandPattern(patterns []string) string {
	if len(patterns) == 1 {
		return patterns[0]
	}
	return "(" + strings.Join(patterns, ")|(") + ")"
}

// quote writes a CEL string literal.
func quote(s string) string {
	if !strings.ContainsAny(s, "'\n\r") {
		return "r'" + s + "'"
	}
	return strconv.Quote(s)
}
