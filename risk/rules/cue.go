package rules

import (
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
)

// wording is how a kind of text is made of words.
type wording struct {
	// before is an expression for where a word begins: the beginning of the text,
	// or what comes after a character that is between words.
	before  string
	between func(rune) bool
	// boundary: \b, before a character of a word, is where one begins.
	boundary bool
	// begins: what patterns match begins where a word does.
	begins bool
}

func ofLines() wording {
	return wording{before: `\b`, boundary: true, between: func(r rune) bool { return r != '_' && !alphanumeric(r) }}
}

func ofImages() wording {
	return wording{before: `(?:\b|_)`, between: func(r rune) bool { return !alphanumeric(r) }}
}

func ofNames() wording {
	return wording{before: `(?:\b|_)`, begins: true, between: func(r rune) bool { return r == '_' || r == ' ' }}
}

func alphanumeric(r rune) bool {
	return '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
}

// sign is a text without which a pattern does not match; begins: where a word does.
type sign struct {
	text   string
	begins bool
}

// What a sign has to have to be of use, in characters: fewer are found everywhere.
// More than maxSign would find little less.
const (
	minBegins = 2
	minInside = 4
	maxSign   = 12
)

// weight is how rare the most common one of signs is; 0 where there are none.
func weight(signs []sign) int {
	least := 0
	for i, s := range signs {
		n := len(s.text)
		switch {
		case s.begins && n >= minBegins:
			n += minInside
		case n < minInside || s.begins:
			return 0
		}
		if i == 0 || n < least {
			least = n
		}
	}
	return least
}

// cue renders a pattern that matches every text that one of the patterns does.
// Nearly all of it is looked for where a word begins and nowhere else, which is
// what it costs little by.
func (w wording) cue(patterns []string) string {
	begin, inside := map[string]bool{}, map[string]bool{}
	var whole []string
	for _, p := range patterns {
		re, err := syntax.Parse(p, syntax.Perl)
		if err != nil {
			continue // refused by validate
		}
		signs := w.signs(re, w.begins)
		if weight(signs) == 0 {
			whole = append(whole, loose(re).String())
			continue
		}
		for _, s := range signs {
			text := s.text[:min(len(s.text), maxSign)]
			if s.begins {
				begin[text] = true
			} else {
				inside[text] = true
			}
		}
	}
	// A sign that holds another one is found by that.
	var out []string
	if texts := least(begin, strings.HasPrefix); len(texts) > 0 {
		out = append(out, w.before+"(?:"+strings.Join(texts, "|")+")")
	}
	out = append(out, least(inside, strings.Contains)...)
	return "(" + strings.Join(append(out, whole...), "|") + ")"
}

// least are the texts that hold no other one, quoted and in order.
func least(texts map[string]bool, holds func(text, other string) bool) []string {
	var out []string
	for t := range texts {
		held := false
		for o := range texts {
			held = held || o != t && holds(t, o)
		}
		if !held {
			out = append(out, regexp.QuoteMeta(t))
		}
	}
	slices.Sort(out)
	return out
}

// loose is the expression without what may be missing at its ends, and without
// a hold on the ends of the text: it matches wherever the text stands in another.
func loose(re *syntax.Regexp) *syntax.Regexp {
	switch re.Op {
	case syntax.OpBeginText, syntax.OpEndText, syntax.OpBeginLine, syntax.OpEndLine:
		return &syntax.Regexp{Op: syntax.OpEmptyMatch}
	}
	out := *re
	out.Sub = nil
	for _, sub := range re.Sub {
		out.Sub = append(out.Sub, loose(sub))
	}
	if re.Op != syntax.OpConcat {
		return &out
	}
	missing := func(re *syntax.Regexp) bool {
		return re.Op == syntax.OpStar || re.Op == syntax.OpQuest || re.Op == syntax.OpRepeat && re.Min == 0
	}
	for len(out.Sub) > 1 && missing(out.Sub[0]) {
		out.Sub = out.Sub[1:]
	}
	for len(out.Sub) > 1 && missing(out.Sub[len(out.Sub)-1]) {
		out.Sub = out.Sub[:len(out.Sub)-1]
	}
	return &out
}

// Bounds of what is looked at of one pattern.
const (
	maxSigns    = 64
	maxTogether = 256 // that neighbours make together
)

// signs returns signs of which every text that the expression matches has one;
// none where it may do without. begins: what it matches begins where a word does.
func (w wording) signs(re *syntax.Regexp, begins bool) []sign {
	switch re.Op {
	case syntax.OpLiteral:
		return w.of(exactly(re), begins)
	case syntax.OpCapture, syntax.OpPlus:
		return w.signs(re.Sub[0], begins)
	case syntax.OpRepeat:
		if re.Min > 0 {
			return w.signs(re.Sub[0], begins)
		}
	case syntax.OpAlternate:
		var all []sign
		for _, sub := range re.Sub {
			signs := w.signs(sub, begins)
			if len(signs) == 0 {
				return nil
			}
			all = append(all, signs...)
		}
		return all
	case syntax.OpConcat:
		return w.ofRow(re.Sub, begins)
	}
	return nil
}

// ofRow picks the rarest signs that parts in a row have: neighbours that are one
// of a few texts each make longer ones together.
func (w wording) ofRow(row []*syntax.Regexp, begins bool) []sign {
	var best []sign
	consider := func(signs []sign) {
		n, most := weight(signs), weight(best)
		if len(signs) <= maxSigns && (n > most || n == most && len(signs) < len(best)) {
			best = signs
		}
	}
	var run []string
	runBegins, start := false, begins
	for i, sub := range row {
		if i > 0 && sub.Op == syntax.OpAlternate && row[i-1].Op == syntax.OpLiteral {
			consider(w.spread(row, i, start))
		}
		consider(w.signs(sub, begins))
		texts := exactly(sub)
		if len(texts) == 0 || len(run)*len(texts) > maxTogether {
			run = nil
		}
		switch {
		case len(texts) == 0:
		case len(run) == 0:
			run, runBegins = texts, begins
		default:
			run = joined(run, texts)
		}
		consider(w.of(run, runBegins))
		begins = w.after(sub, begins)
	}
	return best
}

// spread are the signs of a row that has alternatives at i: each of them with the
// whole row. A parser takes what alternatives begin with out of them.
func (w wording) spread(row []*syntax.Regexp, i int, begins bool) []sign {
	var all []sign
	for _, sub := range row[i].Sub {
		part := []*syntax.Regexp{sub}
		if sub.Op == syntax.OpConcat {
			part = sub.Sub
		}
		signs := w.ofRow(slices.Concat(row[:i], part, row[i+1:]), begins)
		if len(signs) == 0 {
			return nil
		}
		all = append(all, signs...)
	}
	return all
}

// of are the signs of texts: each from where a word begins in it, unless little
// would be left.
func (w wording) of(texts []string, begins bool) []sign {
	var out []sign
	for _, text := range texts {
		s := sign{text, false}
		at, outside := begins, true // before the first word
		for i, r := range text {
			if w.between(r) {
				at = true
				continue
			}
			if at && (alphanumeric(r) || r == '_') && (outside || 3*(len(text)-i) > 2*len(text)) {
				s = sign{text[i:], true}
				break
			}
			at, outside = false, false
		}
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

// after reports whether what comes after a match of the expression is where a
// word begins, if it is one; begins: so is the match.
func (w wording) after(re *syntax.Regexp, begins bool) bool {
	switch re.Op {
	case syntax.OpBeginText:
		return true
	case syntax.OpWordBoundary:
		return w.boundary
	case syntax.OpEmptyMatch, syntax.OpEndText, syntax.OpEndLine, syntax.OpNoWordBoundary:
		return begins
	case syntax.OpLiteral:
		return w.between(re.Rune[len(re.Rune)-1])
	case syntax.OpCharClass:
		for i := 0; i+1 < len(re.Rune); i += 2 {
			if re.Rune[i+1]-re.Rune[i] > unicode.MaxASCII {
				return false
			}
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if !w.between(r) {
					return false
				}
			}
		}
		return true
	case syntax.OpCapture:
		return w.after(re.Sub[0], begins)
	case syntax.OpPlus:
		return w.after(re.Sub[0], false)
	case syntax.OpStar, syntax.OpQuest:
		return begins && w.after(re.Sub[0], false)
	case syntax.OpRepeat:
		return (re.Min > 0 || begins) && w.after(re.Sub[0], false)
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			begins = w.after(sub, begins)
		}
		return begins
	case syntax.OpAlternate:
		return !slices.ContainsFunc(re.Sub, func(sub *syntax.Regexp) bool { return !w.after(sub, begins) })
	}
	return false
}

// exactly returns all texts that the expression matches, where they are few.
func exactly(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpEmptyMatch:
		return []string{""}
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase == 0 {
			return []string{string(re.Rune)}
		}
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
			if out = joined(out, texts); len(out) > maxTogether {
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
