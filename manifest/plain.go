package manifest

import (
	"bytes"

	"go.yaml.in/yaml/v3"
)

// plain reads a document in the form in which nearly every manifest is written:
// ASCII, block mappings and lists, values on the line of their key, flow lists
// and mappings within one line, literal blocks. It gives up at the first sign of
// anything else (anchors, tags, escapes, folded text, errors ...), and the YAML
// library reads the document. What it reads, it reads as the library does, in a
// tenth of the time: FuzzPlainDocument holds values and positions to each other.
type plain struct {
	text           []byte
	first          int32 // number of the first line
	names          *names
	marks          []mark
	depth, deepest int

	cur textLine
	end bool // there is no current line
}

// textLine is a line that has more than spaces and a comment.
type textLine struct {
	number int32
	line   int // offset of the line
	start  int // offset of what is to be read next, its first character at first
	stop   int // offset behind the last character that is no space
	next   int // offset of the next line
}

// indent is the column of what is to be read next, from 0.
func (l *textLine) indent() int { return l.start - l.line }

// maxPlainDepth bounds nesting; deeper documents are the library's.
const maxPlainDepth = 40

// entry is the key under which a value stands; the zero value is that of a list.
type entry struct {
	key          string
	line, column int32
}

// readPlain returns the mapping that the document is; false: ask the library.
func readPlain(doc document, names *names, limits Limits) (map[string]any, []mark, bool) {
	n := len(doc.text)
	if n == 0 || doc.text[n-1] != '\n' || doc.column > 0 {
		return nil, nil, false
	}
	for _, c := range doc.text {
		if c < ' ' && c != '\n' || c > '~' {
			return nil, nil, false
		}
	}
	p := &plain{text: doc.text, first: int32(doc.line), names: names, marks: make([]mark, 0, n/16), deepest: min(limits.Depth, maxPlainDepth)}
	p.cur.number = p.first - 1
	if !p.marker() || !p.advance() || p.end {
		return nil, nil, false
	}
	m, ok := p.mapping(entry{})
	if !ok || !p.end {
		return nil, nil, false
	}
	return m, p.marks, true
}

// marker passes over a line `---` at the start.
func (p *plain) marker() bool {
	if !bytes.HasPrefix(p.text, []byte("---")) {
		return true
	}
	eol := bytes.IndexByte(p.text, '\n')
	p.cur.number, p.cur.next = p.first, eol+1
	return len(bytes.TrimRight(p.text[3:eol], " ")) == 0
}

// advance goes to the next line that has a value; false where a line begins
// something that is not read here.
func (p *plain) advance() bool {
	for at, number := p.cur.next, p.cur.number+1; at < len(p.text); number++ {
		eol := at + bytes.IndexByte(p.text[at:], '\n')
		start := at
		for p.text[start] == ' ' {
			start++
		}
		if start == eol || p.text[start] == '#' {
			at = eol + 1
			continue
		}
		stop := eol
		for p.text[stop-1] == ' ' {
			stop--
		}
		p.cur = textLine{number, at, start, stop, eol + 1}
		if start > at {
			return true
		}
		word := p.text[start:stop]
		return word[0] != '%' && !bytes.HasPrefix(word, []byte("---")) && !bytes.HasPrefix(word, []byte("..."))
	}
	p.end = true
	return true
}

func (p *plain) open(kind yaml.Kind, column int, e entry) int {
	at := len(p.marks)
	p.marks = append(p.marks, mark{
		key: e.key, line: p.cur.number, column: int32(column + 1), keyLine: e.line, keyCol: e.column, target: int32(at), kind: kind,
	})
	return at
}

func (p *plain) close(at int) { p.marks[at].end = int32(len(p.marks)) }

// column of an offset in the current line, from 0.
func (p *plain) column(offset int) int { return offset - p.cur.line }

// dash reports whether a list's entry begins here.
func (p *plain) dash() bool {
	return p.text[p.cur.start] == '-' && (p.cur.start+1 == p.cur.stop || p.text[p.cur.start+1] == ' ')
}

// mapping reads a block mapping whose first key is next.
func (p *plain) mapping(e entry) (map[string]any, bool) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > p.deepest {
		return nil, false
	}
	indent := p.cur.indent()
	at := p.open(yaml.MappingNode, indent, e)
	m := make(map[string]any, 4)
	for !p.end && p.cur.indent() == indent {
		key, after, ok := p.key(p.cur.start)
		if !ok {
			return nil, false
		}
		inner := entry{key, p.cur.number, int32(indent + 1)}
		p.cur.start = after
		v, ok := p.value(indent, inner)
		if _, twice := m[key]; !ok || twice || v == nil {
			return nil, false
		}
		m[key] = v
	}
	p.close(at)
	return m, p.end || p.cur.indent() < indent
}

// sequence reads a block list whose first dash is next.
func (p *plain) sequence(e entry) ([]any, bool) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > p.deepest {
		return nil, false
	}
	indent := p.cur.indent()
	at := p.open(yaml.SequenceNode, indent, e)
	list := []any{}
	for !p.end && p.cur.indent() == indent && p.dash() {
		p.cur.start++
		p.skipSpaces()
		var v any
		var ok bool
		if p.cur.start < p.cur.stop && p.dash() {
			return nil, false
		}
		if _, _, key := p.key(p.cur.start); key {
			v, ok = p.mapping(entry{})
		} else {
			v, ok = p.value(indent, entry{})
		}
		if !ok || v == nil {
			return nil, false
		}
		list = append(list, v)
	}
	p.close(at)
	return list, p.end || p.cur.indent() <= indent
}

func (p *plain) skipSpaces() {
	for p.cur.start < p.cur.stop && p.text[p.cur.start] == ' ' {
		p.cur.start++
	}
}

// value reads what stands behind a key or a dash, and goes to the line after it.
// indent is that of the mapping or list.
func (p *plain) value(indent int, e entry) (any, bool) {
	p.skipSpaces()
	if p.cur.start == p.cur.stop || p.text[p.cur.start] == '#' {
		return p.below(indent, e)
	}
	if p.text[p.cur.start] == '|' {
		return p.literal(indent, e)
	}
	v, after, ok := p.inline(p.cur.start, e)
	if !ok || !p.lineEnds(after) || !p.advance() {
		return nil, false
	}
	return v, p.end || p.cur.indent() <= indent
}

// lineEnds reports whether nothing but a comment follows.
func (p *plain) lineEnds(at int) bool {
	rest := bytes.TrimLeft(p.text[at:p.cur.stop], " ")
	return len(rest) == 0 || rest[0] == '#' && p.text[at] == ' '
}

// below reads the block that begins on the next line. A list may begin at the
// column of its key.
func (p *plain) below(indent int, e entry) (any, bool) {
	if !p.advance() || p.end || p.cur.indent() < indent {
		return nil, false
	}
	if p.dash() {
		if p.cur.indent() == indent && e.line == 0 {
			return nil, false
		}
		return p.sequence(e)
	}
	if p.cur.indent() == indent {
		return nil, false
	}
	return p.mapping(e)
}

// literal reads a block that begins with | or |-.
func (p *plain) literal(indent int, e entry) (any, bool) {
	header := p.text[p.cur.start:p.cur.stop]
	strip := len(header) == 2 && header[1] == '-'
	if len(header) > 1 && !strip {
		return nil, false
	}
	p.close(p.open(yaml.ScalarNode, p.cur.indent(), e))
	at, number, deep := p.cur.next, p.cur.number, -1
	var text []byte
	blank := 0 // lines without a character, not yet in text
	for at < len(p.text) {
		eol := at + bytes.IndexByte(p.text[at:], '\n')
		start := at
		for p.text[start] == ' ' {
			start++
		}
		if start == eol {
			if deep >= 0 && start-at > deep || deep < 0 && start > at {
				return nil, false // spaces that may count
			}
			blank++
		} else {
			if deep < 0 {
				deep = start - at
			}
			if start-at < deep || deep <= indent {
				break
			}
			for ; blank > 0; blank-- {
				text = append(text, '\n')
			}
			text = append(text, p.text[at+deep:eol+1]...)
		}
		at, number = eol+1, number+1
	}
	if len(text) == 0 {
		return nil, false
	}
	if strip {
		text = text[:len(text)-1]
	}
	p.cur.next, p.cur.number = at, number
	if !p.advance() {
		return nil, false
	}
	return p.names.text(text), p.end || p.cur.indent() <= indent
}
