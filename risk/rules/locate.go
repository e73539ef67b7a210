package rules

import (
	"fmt"
	"iter"
	"strings"
)

// Match is a field that made a rule fire.
type Match struct {
	// Path is where it is in the pod: keys are strings, list positions ints.
	Path []any
	// Value is what stands there; nil where the field is missing.
	Value any
	// Container is the name of the container; "" for a field of the pod.
	Container string
}

// containerLists are the pod's lists of containers, in the order of
// variables.containers.
//
//nolint:gochecknoglobals // a table that nothing writes to
var containerLists = [...]string{"containers", "initContainers", "ephemeralContainers"}

// Matches evaluates the rule and returns the fields that made it fire, in the
// order of its alternatives and of the pod; none where it did not fire.
//
// What was found on a pod of the same content is not looked for again; the
// slice is shared and must not be changed.
func (p *Pod) Matches(r *Rule) ([]Match, error) {
	i, ok := p.e.positions[r]
	if !ok {
		return p.matches(r)
	}
	return p.remembered(i).get(i, func() ([]Match, error) { return p.matches(r) })
}

func (p *Pod) matches(r *Rule) ([]Match, error) {
	fired, err := p.Fires(r)
	if err != nil || !fired {
		return nil, err
	}
	l := &locator{pod: p, seen: map[string]bool{}}
	for i := range r.Any {
		a := &r.Any[i]
		if a.Each == "pod" {
			err = l.alternative(a, p.object, nil, "")
		} else {
			err = l.containers(a)
		}
		if err != nil {
			return nil, fmt.Errorf("rule %s: %w", r.ID, err)
		}
	}
	if len(l.matches) == 0 {
		return nil, fmt.Errorf("rule %s fired, but no field explains it", r.ID)
	}
	return l.matches, nil
}

type locator struct {
	pod     *Pod
	matches []Match
	seen    map[string]bool
}

func (l *locator) add(m Match) {
	key := fmt.Sprint(m.Path...)
	if !l.seen[key] {
		l.seen[key] = true
		l.matches = append(l.matches, m)
	}
}

// position is where a container stands in its pod.
type position struct {
	list  string
	index int
}

// containers goes over the pod's containers, in the order of variables.containers.
func containers(pod map[string]any) iter.Seq2[position, map[string]any] {
	return func(yield func(position, map[string]any) bool) {
		spec, _ := pod["spec"].(map[string]any)
		for _, list := range containerLists {
			items, _ := spec[list].([]any)
			for i, item := range items {
				if c, ok := item.(map[string]any); ok && !yield(position{list, i}, c) {
					return
				}
			}
		}
	}
}

func (l *locator) containers(a *Alternative) error {
	for at, c := range containers(l.pod.object) {
		name, _ := c["name"].(string)
		base := []any{"spec", at.list, at.index}
		if len(a.Command) > 0 {
			l.command(a, c, base, name)
			continue
		}
		if err := l.alternative(a, c, base, name); err != nil {
			return err
		}
	}
	return nil
}

// alternative walks the alternative's paths below root, a container or the pod.
func (l *locator) alternative(a *Alternative, root map[string]any, base []any, container string) error {
	at, when, absent := a.general()
	for _, path := range at {
		segs, err := parsePattern(path)
		if err != nil {
			return err
		}
		w := walk{l: l, when: when, absent: absent, root: root, container: container}
		if err := w.down(root, segs, base); err != nil {
			return err
		}
	}
	return nil
}

type walk struct {
	l            *locator
	when, absent string
	root         map[string]any
	container    string
}

func (w *walk) down(v any, segs []string, at []any) error {
	if len(segs) == 0 {
		return w.test(w.when, v, at)
	}
	if segs[0] == anyEntry {
		items, _ := v.([]any)
		for i, item := range items {
			if err := w.down(item, segs[1:], extend(at, i)); err != nil {
				return err
			}
		}
		return nil
	}
	m, _ := v.(map[string]any)
	child, ok := m[segs[0]]
	if !ok {
		missing := at
		for _, s := range segs {
			if s == anyEntry {
				return nil
			}
			missing = extend(missing, s)
		}
		return w.test(w.absent, nil, missing)
	}
	return w.down(child, segs[1:], extend(at, segs[0]))
}

func (w *walk) test(expr string, v any, at []any) error {
	switch expr {
	case "false":
		return nil
	case "true":
		w.l.add(Match{Path: at, Value: v, Container: w.container})
		return nil
	}
	prg, err := w.l.pod.e.element(expr)
	if err != nil {
		return err
	}
	activation := map[string]any{valueVar: v, containerVar: w.root}
	for k, x := range w.l.pod.activation {
		activation[k] = x
	}
	ok, err := evalBool(prg, activation)
	if err != nil {
		return err
	}
	if ok {
		w.l.add(Match{Path: at, Value: v, Container: w.container})
	}
	return nil
}

// command finds the word of a container's command line where the pattern
// matches, or the first where it matches only over several words.
func (l *locator) command(a *Alternative, c map[string]any, base []any, name string) {
	re := l.pod.e.compiled(commandPattern(a.Command))
	if re == nil {
		return // it compiled in the rule
	}
	type word struct {
		text  string
		path  []any
		start int
	}
	var words []word
	var line strings.Builder
	for _, field := range [...]string{"command", "args"} {
		list, _ := c[field].([]any)
		for i, item := range list {
			s, _ := item.(string)
			if len(words) > 0 {
				line.WriteByte(' ')
			}
			words = append(words, word{s, extend(base, field, i), line.Len()})
			line.WriteString(s)
		}
	}
	found := re.FindStringIndex(line.String())
	if found == nil || len(words) == 0 {
		return
	}
	at, start := 0, found[0]
	for start < found[1] && line.String()[start] == ' ' { // the separator is in the pattern
		start++
	}
	for i, w := range words {
		if w.start <= start {
			at = i
		}
	}
	// A match over several words is shown whole.
	value, last := words[at].text, at
	for last+1 < len(words) && words[last+1].start < found[1] {
		last++
		value += " " + words[last].text
	}
	l.add(Match{Path: words[at].path, Value: value, Container: name})
}

func extend(path []any, more ...any) []any {
	out := make([]any, 0, len(path)+len(more))
	return append(append(out, path...), more...)
}
