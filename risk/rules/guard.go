package rules

import (
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A guard says cheaply that a rule cannot fire on a pod, so that its expression
// need not be evaluated, nor even compiled. It never says that a rule fires:
// the expression alone does. TestGuardsHideNothing compares the two.
type guard struct {
	always bool    // an alternative looks at what is absent
	places []place // fires only where one of these has a value that will do
	texts  [kindsOfText]pattern
}

// pattern is what one kind of text has to match; it is compiled for the first
// text. The zero value matches nothing.
type pattern struct {
	text string
	once sync.Once
	re   *regexp.Regexp // nil: it does not compile, which the expression says
}

func (p *pattern) match(text string) bool {
	if p.text == "" {
		return false
	}
	p.once.Do(func() { p.re, _ = regexp.Compile(p.text) })
	return p.re == nil || p.re.MatchString(text)
}

// place is where an alternative looks, from the pod or from each container.
type place struct {
	of        []string
	container bool
	// when is the alternative's expression where it sees nothing but the value,
	// so that its answer about a value holds for every pod; else "".
	when string
	// name is what the value's name has to match before when can hold; nil where
	// when does not begin so. Names are few; entries with their values are many.
	name *regexp.Regexp
}

// will reports whether the value may make the alternative fire.
func (p *place) will(e *Evaluator, v any) bool {
	if p.name != nil {
		entry, _ := v.(map[string]any)
		if name, ok := entry["name"].(string); ok && !p.name.MatchString(name) {
			return false
		}
	}
	if p.when == "" {
		return true
	}
	yes, err := e.holds(p.when, v)
	return yes || err != nil // the rule's expression says what is wrong
}

// Kinds of text that the short forms match.
const (
	imageText = iota
	envText
	lineText
	kindsOfText
)

// seesMore matches expressions that may see more than the value: the container,
// the pod, the variables.
var seesMore = regexp.MustCompile(`\b(c|object|variables)\b`)

func newGuard(r *Rule) *guard {
	g := &guard{}
	var patterns [kindsOfText][]string
	for i := range r.Any {
		a := &r.Any[i]
		switch {
		case len(a.Image) > 0:
			patterns[imageText] = append(patterns[imageText], ImagePattern(a.Image))
		case len(a.Env) > 0:
			patterns[envText] = append(patterns[envText], envPattern(a.Env))
		case len(a.Command) > 0:
			patterns[lineText] = append(patterns[lineText], commandPattern(a.Command))
		case orFalse(a.Absent) != "false":
			g.always = true
		default:
			for _, at := range a.At {
				segs, err := parsePattern(at)
				g.always = g.always || err != nil // refused by validate
				here := place{of: segs, container: a.Each != "pod", name: nameOf(a.When)}
				if !seesMore.MatchString(a.When) {
					here.when = a.When
				}
				g.places = append(g.places, here)
			}
		}
	}
	for kind, p := range patterns {
		if len(p) > 0 {
			g.texts[kind].text = commandPattern(p)
		}
	}
	return g
}

// asksForName matches expressions that begin with a question about v.name: the
// literal of `v.name == 'NAME' && ...` or of `v.name.matches(r'PATTERN') && ...`.
var asksForName = regexp.MustCompile(`^v\.name(?: == '([^'\\]*)'|\.matches\((?:r'([^']*)'|'([^'\\]*)')\)) && `)

// nameOf returns the pattern of a question about the name that an expression
// begins with; nil where it does not, or where || may make another answer count.
func nameOf(when string) *regexp.Regexp {
	m := asksForName.FindStringSubmatch(when)
	if m == nil || strings.Contains(when, " || ") {
		return nil
	}
	pattern := m[2] + m[3]
	if m[1] != "" {
		pattern = "^" + regexp.QuoteMeta(m[1]) + "$"
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil
	}
	return re
}

// glance is what guards see of one pod.
type glance struct {
	containers []map[string]any
	matched    ruleSet // rules of which some text of the pod matches
}

// ruleSet is a set of rules of a catalogue, by position.
type ruleSet []uint64

func newRuleSet(rules int) ruleSet { return make(ruleSet, (rules+63)/64) }

func (s ruleSet) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s ruleSet) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }
func (s ruleSet) union(o ruleSet) {
	for i := range s {
		s[i] |= o[i]
	}
}

const (
	// maxTexts bounds how many texts are remembered; pods share most of theirs.
	maxTexts = 1 << 14
	// maxText is the longest text, in bytes, that guards look at. A pod with a
	// longer one is oversized, which its expressions find out at once.
	maxText = 64 << 10
)

// guards are the guards of a catalogue's rules of scope pod, and what they said
// of the texts that they have seen. They are safe for concurrent use.
type guards struct {
	once sync.Once
	of   []*guard // by the rule's position; nil for other scopes
	// searches of the rules, by their position.
	searches [][]search
	all      ruleSet

	// tags: the name of an image in a rule has a tag or a digest.
	tags bool

	mu   sync.RWMutex
	seen [kindsOfText]map[string]ruleSet
	// answers of expressions about values.
	answers map[answer]bool
}

func (gs *guards) prepare(c *Catalogue) {
	gs.once.Do(func() {
		gs.of, gs.all = make([]*guard, len(c.Rules)), newRuleSet(len(c.Rules))
		gs.searches = make([][]search, len(c.Rules))
		for i := range c.Rules {
			gs.all.add(i)
			if c.Rules[i].Scope == ScopePod {
				gs.of[i] = newGuard(&c.Rules[i])
				gs.searches[i] = newSearches(&c.Rules[i])
				gs.tags = gs.tags || slices.ContainsFunc(c.Rules[i].Any, func(a Alternative) bool {
					return strings.ContainsAny(strings.Join(a.Image, ""), ":@")
				})
			}
		}
		for kind := range gs.seen {
			gs.seen[kind] = map[string]ruleSet{}
		}
		gs.answers = map[answer]bool{}
	})
}

// match returns the rules with a pattern for texts of that kind that matches.
func (gs *guards) match(kind int, text string) ruleSet {
	if len(text) > maxText {
		return gs.all
	}
	gs.mu.RLock()
	set, ok := gs.seen[kind][text]
	gs.mu.RUnlock()
	if ok {
		return set
	}
	set = newRuleSet(len(gs.of))
	for i, g := range gs.of {
		if g != nil && g.texts[kind].match(text) {
			set.add(i)
		}
	}
	gs.mu.Lock()
	if len(gs.seen[kind]) >= maxTexts {
		clear(gs.seen[kind])
	}
	gs.seen[kind][text] = set
	gs.mu.Unlock()
	return set
}

// look collects what the guards need from a pod, once.
func (gs *guards) look(pod map[string]any) *glance {
	g := &glance{matched: newRuleSet(len(gs.of))}
	for _, c := range containers(pod) {
		g.containers = append(g.containers, c)
		if image, ok := c["image"].(string); ok {
			if !gs.tags {
				image = repository(image)
			}
			g.matched.union(gs.match(imageText, image))
		}
		env, _ := c["env"].([]any)
		for _, e := range env {
			entry, _ := e.(map[string]any)
			if name, ok := entry["name"].(string); ok {
				g.matched.union(gs.match(envText, name))
			}
		}
		if line := commandLine(c); line != "" { // no pattern matches nothing: see validate
			g.matched.union(gs.match(lineText, line))
		}
	}
	return g
}

// repository returns an image without its tag and digest. Where no rule names
// either, ImagePattern matches the one where it matches the other.
func repository(image string) string {
	name := strings.LastIndexByte(image, '/') + 1
	if end := strings.IndexAny(image[name:], ":@"); end >= 0 {
		return image[:name+end]
	}
	return image
}

// commandLine is an entry of variables.commandLines.
func commandLine(c map[string]any) string {
	var words []string
	for _, field := range [...]string{"command", "args"} {
		list, _ := c[field].([]any)
		for _, w := range list {
			s, _ := w.(string)
			words = append(words, s)
		}
	}
	return strings.Join(words, " ")
}

// mayFire reports whether the rule at position i could fire on the pod.
func (e *Evaluator) mayFire(i int, pod map[string]any, g *glance) bool {
	rule := e.guards.of[i]
	if rule.always || g.matched.has(i) {
		return true
	}
	for _, p := range rule.places {
		will := func(v any) bool { return p.will(e, v) }
		if !p.container && anyValue(pod, p.of, will) {
			return true
		}
		for _, c := range g.containers {
			if p.container && anyValue(c, p.of, will) {
				return true
			}
		}
	}
	return false
}

// anyValue reports whether there is a value at segs below v that will do.
func anyValue(v any, segs []string, will func(any) bool) bool {
	for i, s := range segs {
		if s == anyEntry {
			items, _ := v.([]any)
			for _, item := range items {
				if anyValue(item, segs[i+1:], will) {
					return true
				}
			}
			return false
		}
		m, _ := v.(map[string]any)
		child, ok := m[s]
		if !ok {
			return false
		}
		v = child
	}
	return will(v)
}

// answer is what an expression said of a value.
type answer struct {
	when  string
	value digest
}

// holds asks an expression that sees nothing but a value, once for each value.
func (e *Evaluator) holds(when string, v any) (bool, error) {
	key := answer{when, e.memo.hash(v)}
	e.guards.mu.RLock()
	yes, ok := e.guards.answers[key]
	e.guards.mu.RUnlock()
	if ok {
		return yes, nil
	}
	prg, err := e.element(when)
	if err != nil {
		return false, err
	}
	if yes, err = evalBool(prg, map[string]any{valueVar: v}); err != nil {
		return false, err
	}
	e.guards.mu.Lock()
	defer e.guards.mu.Unlock()
	if len(e.guards.answers) >= maxTexts {
		clear(e.guards.answers)
	}
	e.guards.answers[key] = yes
	return yes, nil
}
