package manifest

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// offset returns where a node's position is in the text.
func (e *editor) offset(n *yaml.Node) (int, *refusal) {
	if n.Line < 1 || n.Line > len(e.lines) {
		return 0, misplaced(n)
	}
	at := e.lines[n.Line-1]
	for range n.Column - 1 {
		_, size := utf8.DecodeRune(e.text[at:])
		if at += size; size == 0 {
			return 0, misplaced(n)
		}
	}
	return at, nil
}

func misplaced(n *yaml.Node) *refusal {
	r := refuse("write it in a plainer way", "its text cannot be told apart safely")
	r.line = n.Line
	return r
}

// begin returns where the text of a node begins, behind its anchor and tag.
func (e *editor) begin(n *yaml.Node) (int, *refusal) {
	at, bad := e.offset(n)
	for bad == nil {
		at = e.blank(at)
		if at >= len(e.text) || e.text[at] != '&' && e.text[at] != '!' {
			return at, nil
		}
		for at < len(e.text) && !bytes.ContainsRune([]byte(" \r\n"), rune(e.text[at])) {
			at++
		}
	}
	return 0, bad
}

// blank passes over space, line breaks and comments.
func (e *editor) blank(at int) int {
	for ; at < len(e.text); at++ {
		switch c := e.text[at]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
		case c == '#' && (at == 0 || bytes.IndexByte([]byte(" \t\r\n"), e.text[at-1]) >= 0):
			at = e.lineEnd(at) - 1
		default:
			return at
		}
	}
	return at
}

// lineEnd returns where the line that has an offset ends, before its line break.
func (e *editor) lineEnd(at int) int {
	if i := bytes.IndexByte(e.text[at:], '\n'); i >= 0 {
		at += i
		if at > 0 && e.text[at-1] == '\r' {
			at--
		}
		return at
	}
	return len(e.text)
}

// finish returns where the text of a node ends.
func (e *editor) finish(n *yaml.Node) (int, *refusal) {
	if empty(n) {
		return e.offset(n)
	}
	at, bad := e.begin(n)
	switch {
	case bad != nil:
		return 0, bad
	case n.Kind == yaml.AliasNode:
		return at + 1 + len(n.Value), nil
	case n.Kind == yaml.ScalarNode:
		return e.scalarEnd(n, at)
	}
	flow := n.Style&yaml.FlowStyle != 0
	if last := len(n.Content) - 1; last >= 0 {
		if at, bad = e.finish(n.Content[last]); bad != nil {
			return 0, bad
		}
	} else if at++; !flow {
		return 0, misplaced(n)
	}
	if !flow {
		return at, nil
	}
	for at = e.blank(at); at < len(e.text) && (e.text[at] == ',' || e.text[at] == ':'); at = e.blank(at + 1) {
	}
	if at >= len(e.text) || e.text[at] != '}' && e.text[at] != ']' {
		return 0, misplaced(n)
	}
	return at + 1, nil
}

// empty reports a value that is left out.
func empty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Value == "" && n.Style == 0 && n.Anchor == ""
}

func (e *editor) scalarEnd(n *yaml.Node, at int) (int, *refusal) {
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return e.blockEnd(n, at)
	case n.Style&yaml.DoubleQuotedStyle != 0:
		for i := at + 1; i < len(e.text); i++ {
			switch e.text[i] {
			case '\\':
				i++
			case '"':
				return i + 1, nil
			}
		}
		return 0, misplaced(n)
	case n.Style&yaml.SingleQuotedStyle != 0:
		for i := at + 1; i < len(e.text); i++ {
			if e.text[i] != '\'' {
				continue
			}
			if i+1 == len(e.text) || e.text[i+1] != '\'' {
				return i + 1, nil
			}
			i++
		}
		return 0, misplaced(n)
	}
	return e.plainEnd(n, at)
}

// plainEnd finds the end of a plain scalar, which may go over several lines:
// where the value has space, so has the text, and more of it.
func (e *editor) plainEnd(n *yaml.Node, at int) (int, *refusal) {
	const space = " \t\r\n"
	for v := 0; v < len(n.Value); {
		if at >= len(e.text) {
			return 0, misplaced(n)
		}
		inText, inValue := strings.IndexByte(space, e.text[at]) >= 0, strings.IndexByte(space, n.Value[v]) >= 0
		switch {
		case inText && inValue:
			for at < len(e.text) && strings.IndexByte(space, e.text[at]) >= 0 {
				at++
			}
			for v < len(n.Value) && strings.IndexByte(space, n.Value[v]) >= 0 {
				v++
			}
		case e.text[at] != n.Value[v]:
			return 0, misplaced(n)
		default:
			at, v = at+1, v+1
		}
	}
	return at, nil
}

// blockEnd finds the end of a literal or folded scalar: the last line that is
// as deep as its first one.
func (e *editor) blockEnd(n *yaml.Node, at int) (int, *refusal) {
	header := e.text[at:e.lineEnd(at)]
	if i := bytes.IndexByte(header, '#'); i >= 0 {
		header = header[:i]
	}
	if bytes.ContainsAny(header, "123456789") {
		return 0, misplaced(n)
	}
	end, deep := e.lineEnd(at), -1
	for line := e.nextLine(at); line < len(e.text) && strings.TrimSpace(n.Value) != ""; line = e.nextLine(line) {
		stop := e.lineEnd(line)
		text := bytes.TrimLeft(e.text[line:stop], " ")
		indent := stop - line - len(text)
		if len(text) == 0 {
			if bytes.ContainsRune(header, '+') {
				end = stop
			}
			continue
		}
		if deep < 0 {
			deep = indent
		}
		if indent < deep {
			break
		}
		end = stop
	}
	return end, nil
}

func (e *editor) nextLine(at int) int {
	if i := bytes.IndexByte(e.text[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(e.text)
}
