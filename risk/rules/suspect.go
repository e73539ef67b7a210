package rules

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// Bounds of what Suspect looks at: what a look costs grows with text and
// pattern. A pod with more is suspect.
const (
	maxGlanceText    = 2048 // characters of images, command lines and names of variables together
	maxGlanceEntries = 200  // ports, mounts and variables together
)

// Suspect renders an expression that is true on every pod on which one of the
// rules fires, and on few others: one look at each kind of text, and one at each
// place, instead of one for each class of rules. Most pods are done with it.
// Oversized pods, and rules about them, are the caller's.
func Suspect(rs []*Rule) string {
	var looks look
	conditional := map[string]*look{} // by the rules' condition
	var conditions []string
	for _, r := range rs {
		at := &looks
		switch {
		case r.Large:
			continue
		case r.If != "":
			if conditional[r.If] == nil {
				conditional[r.If] = &look{}
				conditions = append(conditions, r.If)
			}
			at = conditional[r.If]
		}
		for i := range r.Any {
			at.add(&r.Any[i])
		}
	}
	terms := append([]string{
		fmt.Sprintf("variables.containers.map(c, c.?image.orValue('').size()).sum() + variables.commandLines.map(l, l.size()).sum() + variables.envNames.map(n, n.size()).sum() > %d", maxGlanceText),
		fmt.Sprintf("variables.containers.map(c, c.?env.orValue([]).size() + c.?ports.orValue([]).size() + c.?volumeMounts.orValue([]).size()).sum() > %d", maxGlanceEntries),
	}, looks.terms()...)
	for _, condition := range conditions {
		if at := conditional[condition].terms(); len(at) > 0 {
			terms = append(terms, "("+condition+") && ("+or(at)+")")
		}
	}
	return or(terms)
}

// look is what several rules look for.
type look struct {
	images, names, lines []string
	places               glances
}

func (l *look) add(a *Alternative) {
	switch {
	case len(a.Image) > 0:
		l.images = append(l.images, a.Image...)
	case len(a.Command) > 0:
		l.lines = append(l.lines, a.Command...)
	case len(a.Env) > 0:
		l.names = append(l.names, a.Env...)
	default:
		l.places.add(a)
	}
}

func (l *look) terms() []string {
	var out []string
	if len(l.images) > 0 {
		images := slices.Compact(slices.Sorted(slices.Values(l.images)))
		out = append(out, "variables.containers.exists(c, c.?image.orValue('').matches("+quote(ImagePattern(images))+"))")
	}
	if len(l.names) > 0 {
		out = append(out, "variables.envNames.exists(names, names.matches("+quote(cue(l.names))+"))")
	}
	if len(l.lines) > 0 {
		out = append(out, "variables.commandLines.exists(line, line.matches("+quote(cue(l.lines))+"))")
	}
	return append(out, l.places.terms()...)
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
// a container.
func (g *glances) terms() []string {
	var pod, container []string
	for _, key := range g.order {
		a := &Alternative{Each: key.each, At: Strings{key.at}, When: together(g.whens[key]), Absent: key.absent}
		if key.each == "pod" {
			pod = append(pod, a.predicates("object")...)
		} else {
			container = append(container, a.predicates("c")...)
		}
	}
	if len(container) > 0 {
		pod = append(pod, "variables.containers.exists(c, "+or(container)+")")
	}
	return pod
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

// minWord is the shortest word that says something.
const minWord = 4

// cue renders a pattern that matches every text that one of the patterns does:
// words without which they do not match, or what is left of themselves without
// the parts at both ends that may be missing.
func cue(patterns []string) string {
	words := map[string]bool{}
	var whole []string
	for _, p := range patterns {
		re, err := syntax.Parse(p, syntax.Perl)
		if err != nil {
			continue // refused by validate
		}
		need := needs(re)
		if shortest(need) < minWord {
			whole = append(whole, trimmed(re).String())
			continue
		}
		for _, w := range need {
			words[w] = true
		}
	}
	// A word that holds another one is found by that.
	var out []string
	for w := range words {
		held := false
		for o := range words {
			held = held || o != w && strings.Contains(w, o)
		}
		if !held {
			out = append(out, regexp.QuoteMeta(w))
		}
	}
	slices.Sort(out)
	return "(" + strings.Join(append(out, whole...), "|") + ")"
}

// trimmed is the expression without what may be missing at its ends.
func trimmed(re *syntax.Regexp) *syntax.Regexp {
	if re.Op != syntax.OpConcat {
		return re
	}
	row := re.Sub
	missing := func(re *syntax.Regexp) bool {
		return re.Op == syntax.OpStar || re.Op == syntax.OpQuest || re.Op == syntax.OpRepeat && re.Min == 0
	}
	for len(row) > 1 && missing(row[0]) {
		row = row[1:]
	}
	for len(row) > 1 && missing(row[len(row)-1]) {
		row = row[:len(row)-1]
	}
	return &syntax.Regexp{Op: syntax.OpConcat, Flags: re.Flags, Sub: row}
}

// maxNeeds bounds the words of one pattern.
const maxNeeds = 64

// needs returns words of which every text that the expression matches has one;
// none where it may do without.
func needs(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return nil
		}
		return []string{string(re.Rune)}
	case syntax.OpCapture, syntax.OpPlus:
		return needs(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return needs(re.Sub[0])
		}
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			need := needs(sub)
			if len(need) == 0 {
				return nil
			}
			all = append(all, need...)
		}
		return all
	case syntax.OpConcat:
		return needsOfRow(re.Sub)
	}
	return nil
}

// needsOfRow picks the longest words that parts in a row need: neighbours that
// are one of a few texts each make longer words together.
func needsOfRow(row []*syntax.Regexp) []string {
	var best, run []string
	consider := func(need []string) {
		if len(need) > 0 && len(need) <= maxNeeds && shortest(need) > shortest(best) {
			best = need
		}
	}
	for _, sub := range row {
		texts := exactly(sub)
		consider(needs(sub))
		if len(texts) == 0 || len(run)*len(texts) > maxNeeds {
			run = nil
		}
		switch {
		case len(texts) == 0:
		case len(run) == 0:
			run = texts
		default:
			run = joined(run, texts)
		}
		consider(run)
	}
	return best
}

// exactly returns all texts that the expression matches, where they are few.
func exactly(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []string{""}
	case syntax.OpLiteral:
		return needs(re)
	case syntax.OpCapture:
		return exactly(re.Sub[0])
	case syntax.OpCharClass:
		var out []string
		for i := 0; i+1 < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if out = append(out, string(r)); len(out) > 4 {
					return nil
				}
			}
		}
		return out
	case syntax.OpQuest:
		if texts := exactly(re.Sub[0]); len(texts) > 0 {
			return append([]string{""}, texts...)
		}
	case syntax.OpAlternate, syntax.OpConcat:
		out := []string{""}
		if re.Op == syntax.OpAlternate {
			out = nil
		}
		for _, sub := range re.Sub {
			texts := exactly(sub)
			if len(texts) == 0 {
				return nil
			}
			if re.Op == syntax.OpAlternate {
				out = append(out, texts...)
				continue
			}
			if out = joined(out, texts); len(out) > maxNeeds {
				return nil
			}
		}
		return out
	}
	return nil
}

// joined are all texts of the one followed by one of the other.
func joined(heads, tails []string) []string {
	var out []string
	for _, head := range heads {
		for _, tail := range tails {
			out = append(out, head+tail)
		}
	}
	return out
}

// shortest is the length of the shortest word; 0 where there is none.
func shortest(words []string) int {
	if len(words) == 0 {
		return 0
	}
	n := len(words[0])
	for _, w := range words[1:] {
		n = min(n, len(w))
	}
	return n
}
