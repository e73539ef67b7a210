package rules

import (
	"fmt"
	"iter"
	"maps"
	"slices"
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

// matches looks for the fields first: where none is found, and where the rule has
// no other condition, the rule's expression need not be evaluated. It decides
// about all other pods, and wherever looking fails. TestFoundIsFired compares.
func (p *Pod) matches(r *Rule) ([]Match, error) {
	if !p.mayFire(r) {
		return nil, nil
	}
	if small(p.object) {
		found, err := p.find(r)
		if err == nil && (len(found) == 0 || r.If == "") {
			return found, nil
		}
	}
	fired, err := p.evaluate(r)
	if err != nil || !fired {
		return nil, err
	}
	found, err := p.find(r)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("rule %s fired, but no field explains it", r.ID)
	}
	return found, err
}

// find returns the fields for which an alternative of the rule holds.
func (p *Pod) find(r *Rule) ([]Match, error) {
	l := &locator{pod: p, seen: map[string]bool{}}
	for _, s := range p.e.searches(r) {
		if err := l.search(&s); err != nil {
			return nil, fmt.Errorf("rule %s: %w", r.ID, err)
		}
	}
	return l.matches, nil
}

// search is an alternative of a rule, ready to be looked for. One of command,
// text and when says what is looked for.
type search struct {
	pod     bool       // from the pod, not from each container
	paths   [][]string // to the values
	command string     // a pattern for the container's command line
	text    string     // a pattern for the value
	when    string     // an expression about the value
	alone   bool       // when sees nothing but the value
	absent  string     // an expression that decides where there is no value
}

// newSearches prepares the alternatives of a rule.
func newSearches(r *Rule) []search {
	out := make([]search, 0, len(r.Any))
	for i := range r.Any {
		a := &r.Any[i]
		s := search{pod: a.Each == "pod", absent: "false"}
		switch {
		case len(a.Command) > 0:
			s.command = commandPattern(a.Command)
		case len(a.Image) > 0:
			s.text, s.paths = ImagePattern(a.Image), [][]string{{"image"}}
		case len(a.Env) > 0:
			s.text, s.paths = envPattern(a.Env), [][]string{{"env", anyEntry, "name"}}
		default:
			s.when, s.absent, s.alone = orFalse(a.When), orFalse(a.Absent), !seesMore.MatchString(a.When)
			for _, at := range a.At {
				if segs, err := parsePattern(at); err == nil { // else refused by validate
					s.paths = append(s.paths, segs)
				}
			}
		}
		out = append(out, s)
	}
	return out
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

func (l *locator) search(s *search) error {
	if s.pod {
		return l.walk(s, l.pod.object, nil, "")
	}
	for at, c := range containers(l.pod.object) {
		name, _ := c["name"].(string)
		base := []step{{key: "spec"}, {key: at.list}, {entry: true, index: at.index}}
		if s.command != "" {
			l.command(s.command, c, path(base), name)
			continue
		}
		if err := l.walk(s, c, base, name); err != nil {
			return err
		}
	}
	return nil
}

// step is a segment of a path: a key, or a position in a list.
type step struct {
	key   string
	entry bool
	index int
}

func path(steps []step, more ...string) []any {
	out := make([]any, 0, len(steps)+len(more))
	for _, s := range steps {
		if s.entry {
			out = append(out, s.index)
		} else {
			out = append(out, s.key)
		}
	}
	for _, key := range more {
		out = append(out, key)
	}
	return out
}

// walk follows the paths of a search below root, a container or the pod.
func (l *locator) walk(s *search, root map[string]any, base []step, container string) error {
	w := walk{search: s, l: l, root: root, container: container}
	for _, segs := range s.paths {
		if err := w.down(root, segs, base); err != nil {
			return err
		}
	}
	return nil
}

type walk struct {
	*search
	l         *locator
	root      map[string]any
	container string
}

func (w *walk) down(v any, segs []string, at []step) error {
	if len(segs) == 0 {
		ok, err := w.holds(v)
		if ok {
			w.l.add(Match{Path: path(at), Value: v, Container: w.container})
		}
		return err
	}
	if segs[0] == anyEntry {
		items, _ := v.([]any)
		for i, item := range items {
			if err := w.down(item, segs[1:], append(at, step{entry: true, index: i})); err != nil {
				return err
			}
		}
		return nil
	}
	m, _ := v.(map[string]any)
	child, ok := m[segs[0]]
	if ok {
		return w.down(child, segs[1:], append(at, step{key: segs[0]}))
	}
	if w.absent == "false" || slices.Contains(segs, anyEntry) {
		return nil
	}
	ok, err := w.ask(w.absent, nil)
	if ok {
		w.l.add(Match{Path: path(at, segs...), Container: w.container})
	}
	return err
}

// holds reports whether the value is what is looked for.
func (w *walk) holds(v any) (bool, error) {
	switch {
	case w.text != "":
		text, ok := v.(string)
		re := w.l.pod.e.compiled(w.text)
		if !ok || re == nil {
			return w.ask("v.matches("+quote(w.text)+")", v) // which says what is wrong
		}
		return re.MatchString(text), nil
	case w.alone && w.when != "true" && w.when != "false":
		return w.l.pod.e.holds(w.when, v)
	}
	return w.ask(w.when, v)
}

// ask evaluates an expression about a value of this container or pod.
func (w *walk) ask(expr string, v any) (bool, error) {
	switch expr {
	case "false":
		return false, nil
	case "true":
		return true, nil
	}
	prg, err := w.l.pod.e.element(expr)
	if err != nil {
		return false, err
	}
	activation := map[string]any{valueVar: v, containerVar: w.root}
	maps.Copy(activation, w.l.pod.activation)
	return evalBool(prg, activation)
}

// command finds the word of a container's command line where the pattern
// matches, or the first where it matches only over several words.
func (l *locator) command(pattern string, c map[string]any, base []any, name string) {
	re := l.pod.e.compiled(pattern)
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
