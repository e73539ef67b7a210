package report

import (
	"fmt"
	"regexp"
	"strings"

	udiff "github.com/aymanbagabas/go-udiff"
)

// UnifiedDiff returns what changes in a file as a patch for `patch -p1` and `git
// apply`. It shows no secret: a line of context with one ends the context. Only
// where a secret stands on a changed line itself (a mapping on one line) is it
// replaced, and then the text is for people and no patch. A file that is new has no
// bytes before.
func UnifiedDiff(name string, before, after []byte) string {
	name = strings.TrimLeft(name, "/")
	old := "a/" + name
	if before == nil {
		old = "/dev/null"
	}
	text, err := udiff.ToUnified(old, "b/"+name, string(before), edits(string(before), string(after)), udiff.DefaultContextLines)
	if err != nil {
		return "" // edits of a text always apply to it
	}
	var out strings.Builder
	var h hunk
	shift := 0 // by how many lines what follows moved
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "@@"):
			h.write(&out)
			old, added := h.count()
			shift += added - old
			h = hunk{}
			from, to, _ := strings.Cut(strings.TrimPrefix(line, "@@ -"), " +")
			_, _ = fmt.Sscanf(from, "%d", &h.old)
			_, _ = fmt.Sscanf(to, "%d", &h.new)
			if h.old > 1 { // the library forgets lines that it showed between two changes
				h.new = h.old + shift
			}
		case h.old == 0 && h.new == 0:
			out.WriteString(line)
		case line[0] == '\\': // about the line before
			h.lines[len(h.lines)-1] += line
		default:
			h.lines = append(h.lines, line)
		}
	}
	h.write(&out)
	return out.String()
}

// edits compares the texts document by document: they have as many, and the
// library gives up on looking for the shortest difference after some hundred lines.
func edits(before, after string) []udiff.Edit {
	const marker = "\n---"
	was, is := strings.SplitAfter(before, marker), strings.SplitAfter(after, marker)
	if len(was) != len(is) {
		return udiff.Lines(before, after)
	}
	var out []udiff.Edit
	at := 0
	for i := range was {
		found := udiff.Lines(was[i], is[i])
		for k, e := range found {
			end := len(was[i])
			if k+1 < len(found) {
				end = found[k+1].Start
			}
			e = down(e, was[i][:end])
			e.Start, e.End = e.Start+at, e.End+at
			out = append(out, e)
		}
		at += len(was[i])
	}
	return out
}

// down moves lines that are added as far down as the text is the same: an entry
// of a list then begins with its dash.
func down(e udiff.Edit, text string) udiff.Edit {
	for e.Start == e.End {
		first, _, more := strings.Cut(e.New, "\n")
		if first += "\n"; !more || !strings.HasPrefix(text[e.Start:], first) {
			break
		}
		e.New = e.New[len(first):] + first
		e.Start, e.End = e.Start+len(first), e.End+len(first)
	}
	return e
}

// hunk is a part of a diff: the numbers of its first lines, and its lines with
// what marks them.
type hunk struct {
	old, new int
	lines    []string
}

// write writes the hunk, cut apart where a line of context is not to be shown.
func (h hunk) write(out *strings.Builder) {
	shown := make([]bool, len(h.lines))
	near := false // nothing hidden stands between here and a change
	mark := func(i int) {
		line := h.lines[i]
		if near = line[0] != ' ' || near && hide(line) == line; near {
			shown[i] = true
		}
	}
	for i := range h.lines {
		mark(i)
	}
	near = false
	for i := len(h.lines) - 1; i >= 0; i-- {
		mark(i)
	}
	part := hunk{old: h.old, new: h.new}
	for i, line := range h.lines {
		if shown[i] {
			part.lines = append(part.lines, line)
			continue
		}
		part.print(out)
		old, added := part.count()
		part = hunk{old: part.old + old + 1, new: part.new + added + 1}
	}
	part.print(out)
}

// count returns how many old and how many new lines the hunk has.
func (h hunk) count() (old, added int) {
	for _, line := range h.lines {
		if line[0] != '+' {
			old++
		}
		if line[0] != '-' {
			added++
		}
	}
	return old, added
}

func (h hunk) print(out *strings.Builder) {
	if len(h.lines) == 0 {
		return
	}
	old, added := h.count()
	first := [2]int{h.old, h.new}
	if old == 0 { // a hunk without old lines is behind the line of its number
		first[0] = max(0, first[0]-1)
	}
	if added == 0 {
		first[1]--
	}
	fmt.Fprintf(out, "@@ -%d,%d +%d,%d @@\n", first[0], old, first[1], added)
	hidden := false
	for _, line := range h.lines {
		if line[0] == '-' {
			hidden = hidden || hide(line) != line
			line = hide(line)
		} else if line[0] == '+' && hidden { // it has what the old line has
			line = hide(line)
		}
		out.WriteString(line)
	}
}

// hide returns a line of a manifest without what may be a secret: what looks
// like one, and every value of a variable.
func hide(line string) string {
	line = envLine.ReplaceAllString(line, "${1}"+redacted)
	if plainLine.MatchString(line) {
		return line
	}
	return redactSecrets(line)
}

var (
	envLine   = regexp.MustCompile(`(\bvalue["']?\s*:\s+)("[^"]*"|'[^']*'|[^\s,}\]][^,}\]\r\n]*)`)
	plainLine = regexp.MustCompile(`^[ +-]\s*[A-Za-z]+: *(true|false|\d+)?\s*$`)
)
