package report

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// lineWidth is where text is wrapped: a terminal's usual width, also in a pipe,
// so that a report reads the same in a log. Words (paths) are never broken.
const lineWidth = 80

// printer collects text; colours are only used where they were asked for.
type printer struct {
	b      strings.Builder
	colour bool
	told   map[string]bool // findings about another object, which stand in full once
}

const (
	red    = "31"
	green  = "32"
	yellow = "33"
	bold   = "1"
	dim    = "2"
)

func (p *printer) style(code, s string) string {
	if !p.colour || code == "" || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// again reports whether what is said of another object stands above already:
// one namespace or policy is behind many workloads.
func (p *printer) again(rule, object, message string) bool {
	if object == "" {
		return false
	}
	if p.told == nil {
		p.told = map[string]bool{}
	}
	key := rule + "\x00" + object + "\x00" + message
	was := p.told[key]
	p.told[key] = true
	return was
}

func (p *printer) printf(format string, args ...any) { fmt.Fprintf(&p.b, format, args...) }

// wrapped writes head and then text, which goes on below itself where the line
// is full. head may be styled, and so may words of text.
func (p *printer) wrapped(head, text string) {
	p.hanging(head, strings.Repeat(" ", visible(head)), text)
}

// hanging is wrapped with another beginning of the lines after the first.
func (p *printer) hanging(head, next, text string) {
	p.b.WriteString(head)
	column, fresh := visible(head), true
	for word := range strings.FieldsSeq(text) {
		switch {
		case fresh:
		case column+1+visible(word) > lineWidth:
			p.b.WriteString("\n" + next)
			column = visible(next)
		default:
			p.b.WriteByte(' ')
			column++
		}
		p.b.WriteString(word)
		column, fresh = column+visible(word), false
	}
	p.b.WriteByte('\n')
}

var sgr = regexp.MustCompile("\x1b\\[[0-9;]*m")

// visible counts the characters of s that take room on a line.
func visible(s string) int {
	if strings.Contains(s, "\x1b") {
		s = sgr.ReplaceAllString(s, "")
	}
	return utf8.RuneCountInString(s)
}

func (p *printer) verdict(v boundary.Verdict) string {
	switch v {
	case boundary.Satisfied:
		return p.style(green, string(v))
	case boundary.Unsatisfied:
		return p.style(red, string(v))
	}
	return p.style(yellow, string(v))
}

// word is what a finding is called, and its style.
func word(s rules.Severity, counts bool) (name, style string) {
	switch {
	case !counts:
		return "waived", dim
	case s == rules.Error:
		return string(s), red
	case s == rules.Warning:
		return string(s), yellow
	}
	return string(s), dim
}

func quoted(value string) string {
	if value == "" {
		return "(missing)"
	}
	return `"` + value + `"`
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
