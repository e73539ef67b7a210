package manifest

import (
	"bytes"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// key reads a key at an offset of the current line, and its colon.
func (p *plain) key(at int) (name string, after int, ok bool) {
	line := p.text[at:p.cur.stop]
	if len(line) == 0 {
		return "", 0, false
	}
	if quote := line[0]; quote == '"' || quote == '\'' {
		name, n, ok := p.quoted(line)
		if !ok || n >= len(line) || line[n] != ':' || n+1 < len(line) && line[n+1] != ' ' {
			return "", 0, false
		}
		return name, at + n + 1, true
	}
	n := 0
	for n < len(line) && keyChar(line[n]) {
		n++
	}
	if n == 0 || n > 128 || n == len(line) || line[n] != ':' || n+1 < len(line) && line[n+1] != ' ' || !startsWord(line[0]) {
		return "", 0, false
	}
	name = p.names.text(line[:n])
	if resolved(name) {
		return "", 0, false
	}
	return name, at + n + 1, true
}

func letter(c byte) bool     { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func digit(c byte) bool      { return c >= '0' && c <= '9' }
func startsWord(c byte) bool { return letter(c) || c == '_' }
func keyChar(c byte) bool {
	return letter(c) || digit(c) || c == '_' || c == '-' || c == '.' || c == '/'
}

// resolves reports whether a plain scalar that begins so may be something else
// than a string: a number, a boolean, null, a time, a merge key.
func resolves(c byte) bool {
	switch c {
	case 'y', 'Y', 'n', 'N', 't', 'T', 'f', 'F', 'o', 'O', '~', '.', '+', '-', '<', '=':
		return true
	}
	return digit(c)
}

// obvious resolves what can be nothing else than a string or a decimal number, as
// scalar does; false: ask scalar.
func obvious(s string) (any, bool) {
	digits := 0
	for digits < len(s) && digit(s[digits]) {
		digits++
	}
	switch {
	case letter(s[0]):
		return s, !resolved(s)
	case s[0] == '-':
		return s, len(s) > 1 && (letter(s[1]) || s[1] == '-')
	case digits == 0 || s[0] == '0' && len(s) > 1:
		return nil, false
	case digits == len(s):
		n, err := strconv.ParseInt(s, 10, 64)
		return n, err == nil
	}
	return s, strings.Trim(s[digits:], "mskKMGTPi") == "" // a quantity
}

// resolved reports whether a word is not a string.
func resolved(word string) bool {
	switch word {
	case "true", "True", "TRUE", "false", "False", "FALSE", "null", "Null", "NULL":
		return true
	}
	_, ok := bool11(word)
	return ok
}

// quoted reads a quoted scalar without escapes; n is its length with quotes.
func (p *plain) quoted(line []byte) (s string, n int, ok bool) {
	end := bytes.IndexByte(line[1:], line[0])
	if end < 0 {
		return "", 0, false
	}
	inner := line[1 : end+1]
	n = end + 2
	if line[0] == '"' && bytes.IndexByte(inner, '\\') >= 0 || line[0] == '\'' && n < len(line) && line[n] == '\'' {
		return "", 0, false
	}
	return p.names.text(inner), n, true
}

// inline reads a scalar or a flow collection that ends on the current line.
func (p *plain) inline(at int, e entry) (v any, after int, ok bool) {
	line := p.text[at:p.cur.stop]
	switch c := line[0]; c {
	case '"', '\'':
		s, n, ok := p.quoted(line)
		p.close(p.open(yaml.ScalarNode, p.column(at), e))
		return s, at + n, ok
	case '[':
		return p.flowSequence(at, e)
	case '{':
		return p.flowMapping(at, e)
	case '-':
		if len(line) == 1 || line[1] == ' ' {
			return nil, 0, false
		}
	case '&', '*', '!', '|', '>', '%', '@', '`', ',', ']', '}', '#', '?', ':':
		return nil, 0, false
	}
	if i := bytes.Index(line, []byte(" #")); i >= 0 {
		line = bytes.TrimRight(line[:i], " ")
	}
	if line[len(line)-1] == ':' || bytes.Contains(line, []byte(": ")) {
		return nil, 0, false
	}
	v, ok = p.scalar(line, at, e)
	return v, at + len(line), ok
}

// scalar resolves a plain scalar.
func (p *plain) scalar(text []byte, at int, e entry) (any, bool) {
	p.close(p.open(yaml.ScalarNode, p.column(at), e))
	s := p.names.text(text)
	if !resolves(text[0]) {
		return s, true
	}
	if v, ok := obvious(s); ok {
		return v, true
	}
	v, err := scalar(&yaml.Node{Kind: yaml.ScalarNode, Value: s})
	return v, err == nil && v != nil
}

// flowValue reads one value of a flow collection: a collection, a quoted scalar
// or one of harmless characters.
func (p *plain) flowValue(at int, e entry) (v any, after int, ok bool) {
	p.depth++
	defer func() { p.depth-- }()
	if at >= p.cur.stop || p.depth > p.deepest {
		return nil, 0, false
	}
	switch c := p.text[at]; {
	case c == '"', c == '\'', c == '[', c == '{':
		return p.inline(at, e)
	case !keyChar(c) || c == '-' && (at+1 == p.cur.stop || !keyChar(p.text[at+1])):
		return nil, 0, false
	}
	end := at
	for end < p.cur.stop && (keyChar(p.text[end]) || bytes.IndexByte([]byte(" =@+;$()"), p.text[end]) >= 0 ||
		p.text[end] == ':' && end+1 < p.cur.stop && keyChar(p.text[end+1])) {
		end++
	}
	text := bytes.TrimRight(p.text[at:end], " ")
	v, ok = p.scalar(text, at, e)
	return v, at + len(text), ok
}

// skip passes over spaces.
func (p *plain) skip(at int) int {
	for at < p.cur.stop && p.text[at] == ' ' {
		at++
	}
	return at
}

func (p *plain) flowSequence(at int, e entry) (any, int, bool) {
	mark := p.open(yaml.SequenceNode, p.column(at), e)
	list := []any{}
	for at = p.skip(at + 1); ; at = p.skip(at + 1) {
		if at < p.cur.stop && p.text[at] == ']' && len(list) == 0 {
			break
		}
		v, after, ok := p.flowValue(at, entry{})
		if !ok || v == nil {
			return nil, 0, false
		}
		list = append(list, v)
		at = p.skip(after)
		if at >= p.cur.stop || p.text[at] != ',' && p.text[at] != ']' {
			return nil, 0, false
		}
		if p.text[at] == ']' {
			break
		}
	}
	p.close(mark)
	return list, at + 1, true
}

func (p *plain) flowMapping(at int, e entry) (any, int, bool) {
	mark := p.open(yaml.MappingNode, p.column(at), e)
	m := map[string]any{}
	for at = p.skip(at + 1); ; at = p.skip(at + 1) {
		if at < p.cur.stop && p.text[at] == '}' && len(m) == 0 {
			break
		}
		key, after, ok := p.key(at)
		if !ok {
			return nil, 0, false
		}
		v, after, ok := p.flowValue(p.skip(after), entry{key, p.cur.number, int32(p.column(at) + 1)})
		if _, twice := m[key]; !ok || v == nil || twice {
			return nil, 0, false
		}
		m[key] = v
		at = p.skip(after)
		if at >= p.cur.stop || p.text[at] != ',' && p.text[at] != '}' {
			return nil, 0, false
		}
		if p.text[at] == '}' {
			break
		}
	}
	p.close(mark)
	return m, at + 1, true
}
