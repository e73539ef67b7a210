package manifest

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// form is how a document is written: what is added is written in the same way.
type form struct {
	step   int    // columns of one level
	dash   int    // columns from a key to the dashes of its list
	end    string // of a line
	quoted bool   // keys are in double quotes, as in JSON
}

// formOf reads the form off the first places that show it.
func formIn(text []byte, root *yaml.Node) form {
	f := form{step: 0, dash: -1, end: "\n"}
	if i := strings.IndexByte(string(text), '\n'); i > 0 && text[i-1] == '\r' {
		f.end = "\r\n"
	}
	f.look(root)
	if f.step == 0 {
		f.step = 2
	}
	if f.dash < 0 {
		f.dash = f.step
	}
	return f
}

func (f *form) look(n *yaml.Node) {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		key, v := n.Content[i], n.Content[i+1]
		if i == 0 && key.Style&yaml.DoubleQuotedStyle != 0 {
			f.quoted = true
		}
		switch {
		case len(v.Content) == 0 || v.Content[0].Line == key.Line:
		case v.Kind == yaml.MappingNode && f.step == 0:
			f.step = max(0, v.Content[0].Column-n.Content[0].Column)
		case v.Kind == yaml.SequenceNode && v.Style&yaml.FlowStyle == 0 && v.Anchor == "" && f.dash < 0:
			f.dash = max(0, v.Column-key.Column)
		}
	}
	for _, c := range n.Content {
		if f.step > 0 && f.dash >= 0 {
			return
		}
		f.look(c)
	}
}

// tree is a value to be written: a scalar or a list of scalars (leaf), or
// entries by key or, in a list, by position.
type tree struct {
	keys    []any
	entries map[any]*tree
	leaf    any
	set     bool // leaf counts
}

func (t *tree) child(key any) *tree {
	if c, ok := t.entries[key]; ok {
		return c
	}
	c := &tree{}
	if t.entries == nil {
		t.entries = map[any]*tree{}
	}
	t.keys, t.entries[key] = append(t.keys, key), c
	return c
}

// put sets the value at path below t; false where something else is there.
func (t *tree) put(path Path, value any) bool {
	for _, seg := range path {
		if t.set {
			return false
		}
		t = t.child(seg)
	}
	switch v := value.(type) {
	case map[string]any:
		if len(v) == 0 {
			break
		}
		for _, key := range namesFirst(v) {
			if !t.put(Path{key}, v[key]) {
				return false
			}
		}
		return true
	case []any:
		if !slices.ContainsFunc(v, func(item any) bool { _, is := item.(map[string]any); return is }) {
			break
		}
		for i, item := range v {
			if !t.put(Path{i}, item) {
				return false
			}
		}
		return true
	}
	if t.set || len(t.keys) > 0 {
		return fmt.Sprint(t.leaf) == fmt.Sprint(value)
	}
	t.leaf, t.set = value, true
	return true
}

// namesFirst are the keys in order, but that an entry of a list begins with its
// name.
func namesFirst(m map[string]any) []string {
	keys := sortedKeys(m)
	if i := slices.Index(keys, "name"); i > 0 {
		keys = slices.Insert(slices.Delete(keys, i, i+1), 0, "name")
	}
	return keys
}

func (t *tree) list() bool {
	if len(t.keys) == 0 {
		return false
	}
	_, is := t.keys[0].(int)
	return is
}

// block returns the lines of the tree's entries in block style.
func (f form) block(t *tree, indent int) []string {
	pad := strings.Repeat(" ", indent)
	var out []string
	for _, key := range t.keys {
		c := t.entries[key]
		name, isKey := key.(string)
		switch {
		case !isKey && c.set:
			out = append(out, pad+"- "+f.flow(c))
		case !isKey:
			lines := f.block(c, indent+2)
			lines[0] = pad + "- " + strings.TrimLeft(lines[0], " ")
			out = append(out, lines...)
		case c.set:
			out = append(out, pad+f.scalar(name)+": "+f.flow(c))
		case c.list():
			out = append(out, pad+f.scalar(name)+":")
			out = append(out, f.block(c, indent+f.dash)...)
		default:
			out = append(out, pad+f.scalar(name)+":")
			out = append(out, f.block(c, indent+f.step)...)
		}
	}
	return out
}

// flow returns the tree on one line.
func (f form) flow(t *tree) string {
	if t.set {
		return f.leaf(t.leaf)
	}
	var parts []string
	for _, key := range t.keys {
		part := f.flow(t.entries[key])
		if name, ok := key.(string); ok {
			part = f.scalar(name) + ": " + part
		}
		parts = append(parts, part)
	}
	if t.list() {
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// spread returns the tree as JSON is printed, a value a line; pad is before
// every line but the first.
func (f form) spread(t *tree, pad string) string {
	if t.set {
		return f.flow(t)
	}
	inner := pad + strings.Repeat(" ", f.step)
	var parts []string
	for _, key := range t.keys {
		part := f.spread(t.entries[key], inner)
		if name, ok := key.(string); ok {
			part = f.scalar(name) + ": " + part
		}
		parts = append(parts, inner+part)
	}
	open, shut := "{", "}"
	if t.list() {
		open, shut = "[", "]"
	}
	return open + f.end + strings.Join(parts, ","+f.end) + f.end + pad + shut
}

func (f form) leaf(v any) string {
	switch x := v.(type) {
	case string:
		return f.scalar(x)
	case []any:
		parts := make([]string, len(x))
		for i, item := range x {
			parts[i] = f.leaf(item)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any: // an empty one
		return "{}"
	}
	return fmt.Sprint(v)
}

// scalar writes a string: plain where that is safe in every place.
func (f form) scalar(s string) string {
	if !f.quoted && regexp.MustCompile(`^[A-Za-z0-9/_.][A-Za-z0-9/_.-]*$`).MatchString(s) {
		if v, err := scalar(&yaml.Node{Kind: yaml.ScalarNode, Value: s}); err == nil && v == any(s) {
			return s
		}
	}
	text, _ := json.Marshal(s) //nolint:errchkjson // a string always encodes
	return string(text)
}
