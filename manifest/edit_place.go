package manifest

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// editor collects what is to be written into one document.
type editor struct {
	text     []byte
	lines    []int // offset of each line
	form     form
	added    []*addition
	replaced map[*yaml.Node]any
	splices  []splice
	shared   string // the anchor that a change goes through, for the message
}

func newEditor(text []byte, root *yaml.Node) *editor {
	e := &editor{text: text, lines: []int{0}, form: formIn(text, root), replaced: map[*yaml.Node]any{}}
	if bytes.HasPrefix(text, []byte("\ufeff")) { // of which no column counts
		e.lines[0] = len("\ufeff")
	}
	for i, c := range text {
		if c == '\n' {
			e.lines = append(e.lines, i+1)
		}
	}
	return e
}

// spot is a node, and the mapping with its key, or the list, that it is in.
type spot struct{ node, key, parent *yaml.Node }

// addition is what is added to one mapping or list, or put in the place of a null.
type addition struct {
	spot
	first, last tree // entries before and behind those that are there
}

// splice replaces text[at:upto]. Of several at one offset the deeper goes first,
// and an entry of a list before a key.
type splice struct {
	at, upto int
	with     string
	indent   int
	item     bool
}

// set notes one change, below the object's own node.
func (e *editor) set(object *yaml.Node, c Change) *refusal {
	at := spot{node: object}
	for i, seg := range c.Path {
		n := e.through(at.node)
		at.node = n
		next := spot{parent: n}
		switch key := seg.(type) {
		case string:
			if n.Kind == yaml.MappingNode {
				next.key, next.node = lookup(n, key)
			}
		case int:
			if n.Kind == yaml.SequenceNode && key < len(n.Content) {
				next.node = n.Content[key]
			}
		}
		if next.node == nil {
			return e.add(at, c, i)
		}
		if key, ok := seg.(string); ok && !slices.Contains(n.Content, next.node) {
			e.shared = "what a merge key (<<) brings as " + key
		}
		at = next
	}
	at.node = e.through(at.node)
	if isNull(at.node) {
		return e.add(at, c, len(c.Path))
	}
	if items, ok := c.Value.([]any); ok && extends(at.node, items) {
		for i := len(at.node.Content); i < len(items); i++ {
			more := Change{Path: c.Path.Join(i), Value: items[i]}
			if bad := e.add(at, more, len(c.Path)); bad != nil {
				return bad
			}
		}
		return nil
	}
	if old, twice := e.replaced[at.node]; at.node.Kind != yaml.ScalarNode || twice && old != c.Value {
		return refuse("change it by hand", "%s has a value that is not replaced", c.Path)
	}
	e.replaced[at.node] = c.Value
	return nil
}

// extends reports whether a list of scalars begins with those of a node.
func extends(n *yaml.Node, items []any) bool {
	if n.Kind != yaml.SequenceNode || len(n.Content) > len(items) {
		return false
	}
	for i, c := range n.Content {
		if v, err := scalar(deref(c)); deref(c).Kind != yaml.ScalarNode || err != nil || v != items[i] {
			return false
		}
	}
	return true
}

// through follows an alias, and remembers what is shared.
func (e *editor) through(n *yaml.Node) *yaml.Node {
	if n = deref(n); n.Anchor != "" {
		e.shared = "anchor &" + n.Anchor
	}
	return n
}

// add notes what is missing from the segment i of the path on.
func (e *editor) add(at spot, c Change, i int) *refusal {
	k := slices.IndexFunc(e.added, func(a *addition) bool { return a.node == at.node })
	if k < 0 {
		k, e.added = len(e.added), append(e.added, &addition{spot: at})
	}
	into := &e.added[k].last
	if c.First {
		into = &e.added[k].first
	}
	if !into.put(c.Path[i:], c.Value) {
		return refuse("change it by hand", "%s is set in two ways", c.Path)
	}
	return nil
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// lookup returns the entry of a mapping, its own or one that is merged.
func lookup(m *yaml.Node, name string) (key, value *yaml.Node) {
	m = deref(m)
	var merged *yaml.Node
	for i := 0; m.Kind == yaml.MappingNode && i+1 < len(m.Content); i += 2 {
		k := m.Content[i]
		if isMerge(k) {
			merged = deref(m.Content[i+1])
		} else if keyName(deref(k)) == name {
			return k, m.Content[i+1]
		}
	}
	if merged == nil || merged == m {
		return nil, nil
	}
	if merged.Kind != yaml.SequenceNode {
		return lookup(merged, name)
	}
	for _, one := range merged.Content {
		if key, value = lookup(one, name); value != nil {
			return key, value
		}
	}
	return nil, nil
}

// apply returns the text with everything that was noted.
func (e *editor) apply() ([]byte, *refusal) {
	for n, v := range e.replaced {
		if bad := e.replace(n, v); bad != nil {
			return nil, bad
		}
	}
	for _, a := range e.added {
		if bad := e.write(a); bad != nil {
			return nil, bad
		}
	}
	slices.SortStableFunc(e.splices, func(a, b splice) int {
		item := map[bool]int{true: 0, false: 1}
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(b.indent, a.indent), cmp.Compare(item[a.item], item[b.item]))
	})
	var out []byte
	at := 0
	for _, s := range e.splices {
		if s.at < at {
			return nil, refuse("change it by hand", "two changes are at one place")
		}
		out = append(append(out, e.text[at:s.at]...), s.with...)
		at = s.upto
	}
	return append(out, e.text[at:]...), nil
}

func (e *editor) replace(n *yaml.Node, v any) *refusal {
	if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		return misplaced(n)
	}
	at, bad := e.begin(n)
	if bad != nil {
		return bad
	}
	end, bad := e.finish(n)
	if bad != nil {
		return bad
	}
	text, isText := v.(string)
	with := e.form.leaf(v)
	switch {
	case isText && n.Style&yaml.DoubleQuotedStyle != 0:
		with = form{quoted: true}.scalar(text)
	case isText && n.Style&yaml.SingleQuotedStyle != 0:
		with = "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	e.splices = append(e.splices, splice{at: at, upto: end, with: with})
	return nil
}

// write writes an addition.
func (e *editor) write(a *addition) *refusal {
	n := a.node
	flow := n.Style&yaml.FlowStyle != 0
	switch {
	case isNull(n) || flow && len(n.Content) == 0:
		return e.fill(a)
	case n.Kind == yaml.ScalarNode || a.last.set || a.first.set:
		return refuse("correct its type", "line %d has a single value where a mapping or list belongs", n.Line)
	case a.last.list() != (n.Kind == yaml.SequenceNode) && len(a.last.keys) > 0:
		return refuse("correct its type", "line %d has a mapping where a list belongs, or the other way round", n.Line)
	case flow:
		return e.inFlow(a)
	}
	return e.inBlock(a)
}

// inBlock adds lines to a mapping or list in block style.
func (e *editor) inBlock(a *addition) *refusal {
	n := a.node
	indent := n.Content[0].Column - 1
	if n.Kind == yaml.SequenceNode {
		at, bad := e.begin(n)
		if bad != nil {
			return bad
		}
		if indent = at - (bytes.LastIndexByte(e.text[:at], '\n') + 1); e.text[at] != '-' {
			return misplaced(n)
		}
	}
	if len(a.first.keys) > 0 {
		if a.key == nil || n.Content[0].Line <= a.key.Line {
			return misplaced(n)
		}
		at, bad := e.offset(a.key)
		if bad != nil {
			return bad
		}
		e.insert(e.lineEnd(at), &a.first, indent)
	}
	if len(a.last.keys) == 0 {
		return nil
	}
	end, bad := e.finish(n.Content[len(n.Content)-1])
	if bad != nil {
		return bad
	}
	eol := e.lineEnd(end)
	if e.blank(end) < eol {
		return misplaced(n)
	}
	e.insert(eol, &a.last, indent)
	return nil
}

// insert adds the tree's lines behind the line that ends at an offset.
func (e *editor) insert(eol int, t *tree, indent int) {
	var with strings.Builder
	for _, line := range e.form.block(t, indent) {
		with.WriteString(e.form.end + line)
	}
	e.splices = append(e.splices, splice{at: eol, upto: eol, with: with.String(), indent: indent, item: t.list()})
}

// inFlow adds entries to a mapping or list in flow style that has some.
func (e *editor) inFlow(a *addition) *refusal {
	n := a.node
	end, bad := e.finish(n.Content[len(n.Content)-1])
	if bad != nil {
		return bad
	}
	last := n.Content[len(n.Content)-1]
	if n.Kind == yaml.MappingNode {
		last = n.Content[len(n.Content)-2]
	}
	at, bad := e.offset(last)
	if bad != nil {
		return bad
	}
	line := e.text[:at]
	pad := string(line[bytes.LastIndexByte(line, '\n')+1:])
	ownLine := last.Line > n.Line && strings.Trim(pad, " \t") == ""
	var with strings.Builder
	for _, t := range []*tree{&a.first, &a.last} {
		for _, key := range t.keys {
			with.WriteString(",")
			entry := " " + e.form.flow(t.entries[key])
			if ownLine {
				with.WriteString(e.form.end + pad)
				entry = strings.TrimPrefix(entry, " ")
				if e.form.quoted {
					entry = e.form.spread(t.entries[key], pad)
				}
			}
			if name, ok := key.(string); ok {
				if ownLine {
					entry = e.form.scalar(name) + ": " + entry
				} else {
					entry = " " + e.form.scalar(name) + ":" + entry
				}
			}
			with.WriteString(entry)
		}
	}
	e.splices = append(e.splices, splice{at: end, upto: end, with: with.String()})
	return nil
}

// fill puts an addition in the place of null, {} or [].
func (e *editor) fill(a *addition) *refusal {
	n, t := a.node, &a.last
	if len(a.first.keys) > 0 {
		t = &a.first
		for _, key := range a.last.keys {
			t.keys, t.entries[key] = append(t.keys, key), a.last.entries[key]
		}
	}
	end, bad := e.finish(n)
	if bad != nil {
		return bad
	}
	inBlock := a.key != nil && a.parent.Style&yaml.FlowStyle == 0 && n.Anchor == ""
	switch {
	case inBlock && a.key.Line < n.Line && !t.set:
		return e.fillBelow(n, t, end)
	case !inBlock || a.key.Line != n.Line:
		return e.fillFlow(n, t, end)
	}
	colon, bad := e.finish(a.key)
	if bad != nil {
		return bad
	}
	colon = e.blank(colon)
	eol := e.lineEnd(end)
	if colon >= len(e.text) || e.text[colon] != ':' || e.blank(end) < eol {
		return misplaced(n)
	}
	if t.set {
		e.splices = append(e.splices, splice{at: colon + 1, upto: end, with: " " + e.form.flow(t)})
		return nil
	}
	if end > colon+1 {
		e.splices = append(e.splices, splice{at: colon + 1, upto: end})
	}
	deeper := e.form.step
	if t.list() {
		deeper = e.form.dash
	}
	e.insert(eol, t, a.key.Column-1+deeper)
	return nil
}

// fillBelow is fill where {} stands on the line below its key.
func (e *editor) fillBelow(n *yaml.Node, t *tree, end int) *refusal {
	at, bad := e.begin(n)
	if bad != nil {
		return bad
	}
	indent := at - (bytes.LastIndexByte(e.text[:at], '\n') + 1)
	lines := e.form.block(t, indent)
	lines[0] = lines[0][indent:]
	e.splices = append(e.splices, splice{at: at, upto: end, with: strings.Join(lines, e.form.end), indent: indent})
	return nil
}

// fillFlow is fill on one line.
func (e *editor) fillFlow(n *yaml.Node, t *tree, end int) *refusal {
	at := end
	var bad *refusal
	if !empty(n) {
		if at, bad = e.begin(n); bad != nil {
			return bad
		}
	}
	with := e.form.flow(t)
	if e.form.quoted && bytes.IndexByte(bytes.TrimSpace(e.text), '\n') >= 0 {
		line := e.text[bytes.LastIndexByte(e.text[:at], '\n')+1:]
		with = e.form.spread(t, string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))]))
	}
	if at == end {
		with = " " + with
	}
	e.splices = append(e.splices, splice{at: at, upto: end, with: with})
	return nil
}
