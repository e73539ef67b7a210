package rules

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Bounds of what Suspect looks at: what a look costs grows with text and pattern.
// A pod with more is suspect, and so is one that is oversized: all bounds are far
// below those of variables.oversized.
const (
	maxGlanceContainers = 10
	maxGlanceVolumes    = 100
	maxGlanceEntries    = 100  // words, variables, ports, mounts, limits and words of hooks together
	maxGlanceImages     = 1024 // characters
	maxGlanceLines      = 2048 // of command lines
	maxGlanceNames      = 1024 // of names of variables
	maxGlanceValue      = 600  // of the value of a variable
)

// Suspect renders an expression over object that is true on every pod on which
// one of the rules fires and on every oversized one, and on few others: one look
// at each kind of text, and one at each place, instead of one for each class of
// rules. It uses no variables, so that it can be a condition of a policy: most
// pods are done with it.
func Suspect(c *Catalogue, rs []*Rule) string {
	looks := look{}
	for _, r := range rs {
		switch {
		case r.Large: // all such pods are suspect
		case r.If == ifCallsModel && looks.callers(c):
		default:
			for i := range r.Any {
				looks.add(&r.Any[i])
			}
		}
	}
	const all = "object.spec.?containers.orValue([]) + object.spec.?initContainers.orValue([]) + object.spec.?ephemeralContainers.orValue([])"
	// What texts there are together is looked at before any of them is.
	texts := func(each string, most int, pattern string) string {
		expr := fmt.Sprintf("ts.map(t, t.size()).sum() > %d", most)
		if pattern != "" {
			expr += " || ts.join(' ').matches(" + quote(pattern) + ")" // once: the length of the pattern costs too
		}
		return "[cs.map(c, " + each + ")].exists(ts, " + expr + ")"
	}
	entries := []string{"c.?resources.?limits.orValue({}).size()"}
	for _, list := range []string{"command", "args", "env", "ports", "volumeMounts", "lifecycle.?postStart.?exec.?command"} {
		entries = append(entries, "c.?"+list+".orValue([]).size()")
	}
	terms := []string{
		fmt.Sprintf("cs.size() > %d", maxGlanceContainers),
		"cs.map(c, " + strings.Join(entries, " + ") + fmt.Sprintf(").sum() > %d", maxGlanceEntries),
		texts("c.?image.orValue('')", maxGlanceImages, looks.pattern(looks.images, ofImages())),
		texts("(c.?command.orValue([]) + c.?args.orValue([])).join(' ')", maxGlanceLines, looks.pattern(looks.lines, ofLines())),
		texts("c.?env.orValue([]).map(e, e.?name.orValue('')).join(' ')", maxGlanceNames, looks.pattern(looks.names, ofNames())),
		fmt.Sprintf("cs.exists(c, c.?env.orValue([]).exists(e, e.?value.orValue('').size() > %d))", maxGlanceValue),
	}
	pod, container := looks.places.terms()
	terms = append(terms, container...)
	return or(append([]string{
		fmt.Sprintf("object.spec.?volumes.orValue([]).size() > %d", maxGlanceVolumes),
		"[" + all + "].exists(cs, " + or(terms) + ")",
	}, pod...))
}

// ifCallsModel is a condition of rules, and modelClients the variable in it.
const (
	modelClients = "modelClients"
	ifCallsModel = "variables." + modelClients + ".size() > 0"
)

var namesOfClients = regexp.MustCompile(`e\.\?name\.orValue\(''\)\.matches\(r'\^\(([^']*)\)\$'\)`)

// callers adds the names of variables by which containers are known that call a
// model. A rule with that condition fires on no pod that has none of them.
func (l *look) callers(c *Catalogue) bool {
	i := slices.IndexFunc(c.Variables, func(v Variable) bool { return v.Name == modelClients })
	if i < 0 {
		return false
	}
	m := namesOfClients.FindStringSubmatch(c.Variables[i].Expression)
	if m == nil {
		return false
	}
	l.names = append(l.names, m[1])
	return true
}

// look is what several rules look for.
type look struct {
	images, names, lines []string
	places               glances
}

func (l *look) add(a *Alternative) {
	switch {
	case len(a.Image) > 0:
		for _, name := range a.Image {
			l.images = append(l.images, ImagePattern([]string{name}))
		}
	case len(a.Command) > 0:
		l.lines = append(l.lines, a.Command...)
	case len(a.Env) > 0:
		l.names = append(l.names, a.Env...)
	default:
		l.places.add(a)
	}
}

// pattern is one for all patterns of a kind of text; "" for none.
func (l *look) pattern(patterns []string, w wording) string {
	if len(patterns) == 0 {
		return ""
	}
	return w.cue(patterns)
}

// glances are places with what is looked for there, in the order in which they
// were first named.
type glances struct {
	order []glanced
	whens map[glanced][]string
}

type glanced struct {
	each, at, absent string
}

func (g *glances) add(a *Alternative) {
	at, when, absent := a.general()
	if strings.Contains(when+absent, "variables.") {
		when, absent = "true", "true" // what they say of the pod is for the rule to ask
	}
	for _, path := range at {
		key := glanced{a.Each, path, absent}
		if g.whens == nil {
			g.whens = map[glanced][]string{}
		}
		if _, ok := g.whens[key]; !ok {
			g.order = append(g.order, key)
		}
		g.whens[key] = append(g.whens[key], when)
	}
}

// terms renders one boolean for each place of the pod, and one for all places of
// a container of cs.
func (g *glances) terms() (pod, container []string) {
	for _, key := range g.order {
		a := &Alternative{Each: key.each, At: Strings{key.at}, When: together(g.whens[key]), Absent: key.absent}
		if key.each == "pod" {
			pod = append(pod, a.predicates("object")...)
		} else {
			container = append(container, a.predicates("c")...)
		}
	}
	if len(container) > 0 {
		container = []string{"cs.exists(c, " + or(container) + ")"}
	}
	return pod, container
}

var (
	matchesWhole = regexp.MustCompile(`^v\.matches\(r?'([^'\\]|\\[^'])*'\)$`)
	portOf       = regexp.MustCompile(`v\.exists\(p, p\.\?containerPort\.orValue\(0\) (?:== (\d+)|in \[([0-9, ]+)\])\)`)
	onlyJoins    = regexp.MustCompile(`^[ &|()]*$`)
)

// together renders questions about one value as one that is true where one of
// them is: patterns become one pattern, and questions about ports one list.
func together(whens []string) string {
	var patterns, ports, rest []string
	for _, when := range whens {
		switch {
		case matchesWhole.MatchString(when):
			text := strings.TrimSuffix(strings.TrimPrefix(when, "v.matches("), "')")
			raw := strings.HasPrefix(text, "r'")
			text = strings.TrimPrefix(strings.TrimPrefix(text, "r"), "'")
			if !raw && strings.Contains(text, `\`) { // escapes of CEL, not of the pattern
				rest = append(rest, when)
				continue
			}
			patterns = append(patterns, text)
		case onlyJoins.MatchString(portOf.ReplaceAllString(when, "")):
			for _, m := range portOf.FindAllStringSubmatch(when, -1) {
				ports = append(ports, m[1]+m[2])
			}
		case slices.ContainsFunc(whens, func(w string) bool { return strings.HasPrefix(when, w+" && ") }):
			// it asks for more than another
		default:
			rest = append(rest, when)
		}
	}
	var terms []string
	if len(patterns) > 0 {
		terms = append(terms, "v.matches("+quote(commandPattern(patterns))+")")
	}
	if len(ports) > 0 {
		terms = append(terms, "v.exists(p, p.?containerPort.orValue(0) in ["+strings.Join(ports, ", ")+"])")
	}
	return or(append(terms, slices.Compact(rest)...))
}
