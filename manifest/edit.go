package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Change sets one field of an object: what stands there is replaced, what is
// missing is made, missing parents included. A path that ends behind the last
// entry of a list adds an entry.
type Change struct {
	Object *Object // as it was read
	Path   Path
	// Value is a string, bool, int or int64, a list of them, or a map[string]any of
	// such values, maps and lists.
	Value any
	// First has a missing field stand before the others of its mapping; behind them
	// where it is false.
	First bool
}

// Rewrite makes the changes in the text of the file that their objects come
// from. Bytes that need no change stay as they are. Of each document it makes all
// changes or none: one that cannot be edited safely stays as it is, with an error
// that says why.
//
// The result is read again: its objects are the old ones with the changes and
// nothing else, or the document is refused.
func Rewrite(text []byte, changes []Change, limits Limits) ([]byte, []*Error) {
	if len(changes) == 0 {
		return text, nil
	}
	s := &splitter{r: bufio.NewReader(bytes.NewReader(text)), limit: limits.DocumentBytes}
	var out []byte
	var refused []*Error
	made := 0
	for rest := text; ; {
		doc, err := s.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || !bytes.HasPrefix(rest, doc.text) {
			return text, append(refused, changes[0].refuse(refuse("split the file", "it has a document that cannot be read, from line %d", doc.line)))
		}
		rest = rest[len(doc.text):]
		mine := within(changes, doc)
		made += len(mine)
		edited, bad := editDocument(doc, mine, limits)
		if bad != nil {
			edited = doc.text
			refused = append(refused, mine[0].refuse(bad))
		}
		out = append(out, edited...)
	}
	if made != len(changes) {
		return text, append(refused, changes[0].refuse(changed()))
	}
	return out, refused
}

func within(changes []Change, doc document) []Change {
	last := doc.line + bytes.Count(doc.text, []byte("\n"))
	if bytes.HasSuffix(doc.text, []byte("\n")) {
		last--
	}
	var out []Change
	for _, c := range changes {
		if at, _ := c.Object.Position(nil); at.Line >= doc.line && at.Line <= last {
			out = append(out, c)
		}
	}
	return out
}

// refusal says why a document is not edited.
type refusal struct {
	line         int // in the document; 0 is that of the object
	reason, hint string
}

func (r *refusal) Error() string { return r.reason }

func refuse(hint, format string, args ...any) *refusal {
	return &refusal{reason: fmt.Sprintf(format, args...), hint: hint}
}

func changed() *refusal {
	return refuse("run it again when nothing else writes the file", "the file changed while it was read")
}

func (c Change) refuse(r *refusal) *Error {
	at, _ := c.Object.Position(nil)
	return &Error{File: c.Object.File, Line: at.Line, Column: at.Column, Reason: "not rewritten: " + r.reason, Hint: r.hint}
}

// editDocument returns the document with the changes.
func editDocument(doc document, changes []Change, limits Limits) ([]byte, *refusal) {
	if len(changes) == 0 {
		return doc.text, nil
	}
	if bad := editable(doc.text, changes); bad != nil {
		return nil, bad
	}
	dec := yaml.NewDecoder(bytes.NewReader(doc.text))
	var root, more yaml.Node
	if decode(dec, &root) != nil || !errors.Is(decode(dec, &more), io.EOF) {
		return nil, changed()
	}
	before := Read("", bytes.NewReader(doc.text), limits)
	want := make([]map[string]any, len(before.Objects))
	for i, o := range before.Objects {
		want[i] = o.Whole().Value
	}
	e := newEditor(doc.text, &root)
	for _, c := range changes {
		c.Value = asRead(c.Value)
		at, _ := c.Object.Position(nil)
		at.Line -= doc.line - 1
		i := slices.IndexFunc(before.Objects, func(o *Object) bool { p, _ := o.Position(nil); return p == at })
		node := objectAt(&root, at)
		if i < 0 || node == nil || !reflect.DeepEqual(before.Objects[i].Whole().Value, c.Object.Whole().Value) {
			return nil, changed()
		}
		v, ok := assign(want[i], c.Path, c.Value)
		if want[i], _ = v.(map[string]any); !ok || want[i] == nil {
			return nil, refuse("change it by hand", "%s cannot be set there", c.Path)
		}
		if bad := e.set(node, c); bad != nil {
			return nil, bad
		}
	}
	edited, bad := e.apply()
	if bad != nil {
		return nil, bad
	}
	return edited, e.verify(before, Read("", bytes.NewReader(edited), limits), want)
}

// editable refuses text whose lines the library counts in another way than
// people do, and templates: what renders them may leave out the place of a change,
// or repeat it.
func editable(text []byte, changes []Change) *refusal {
	unix := bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	for _, lineBreak := range []string{"\r", "\u0085", "\u2028", "\u2029"} {
		if bytes.Contains(unix, []byte(lineBreak)) {
			return refuse("end lines with a line feed", "it has line breaks (%q) that YAML counts and most editors do not", lineBreak)
		}
	}
	if bytes.Contains(text, []byte("{{")) && changes[0].Object.Group() != "argoproj.io" { // whose own syntax that is
		return refuse("rewrite what it renders to, or the chart that it belongs to", "it has a template in it ({{ }})")
	}
	return nil
}

// objectAt returns the mapping of the object that begins there: the document
// itself, or an entry of its items.
func objectAt(doc *yaml.Node, at Position) *yaml.Node {
	if doc.Kind != yaml.DocumentNode || len(doc.Content) == 0 {
		return nil
	}
	root := doc.Content[0]
	if root.Line == at.Line && root.Column == at.Column {
		return root
	}
	if _, items := lookup(root, "items"); items != nil {
		for _, item := range items.Content {
			if item.Line == at.Line && item.Column == at.Column {
				return item
			}
		}
	}
	return nil
}

// verify holds the objects of the edited document against what was meant.
func (e *editor) verify(before, after Batch, want []map[string]any) *refusal {
	same := len(before.Objects) == len(after.Objects) && len(before.Errors) == len(after.Errors) && len(before.Other) == len(after.Other)
	for i := 0; same && i < len(want); i++ {
		same = reflect.DeepEqual(after.Objects[i].Whole().Value, want[i])
	}
	switch {
	case same:
		return nil
	case e.shared != "":
		return refuse("write the shared part out where it has to differ", "the change is in %s, which others share", e.shared)
	}
	return refuse("make the change by hand: `bulkhead explain` has it as a patch", "the place is written in a way that cannot be edited safely")
}

// Changed returns the value of an object with changes of it, which are made in
// their order. What the object has stays as it is.
func Changed(o *Object, changes []Change) (map[string]any, error) {
	value := any(o.Whole().Value)
	for _, c := range changes {
		var ok bool
		if value, ok = assign(value, c.Path, asRead(c.Value)); !ok {
			return nil, fmt.Errorf("%s cannot be set there", c.Path)
		}
	}
	m, _ := value.(map[string]any)
	return m, nil
}

// asRead returns a value in the types that reading gives.
func asRead(v any) any {
	switch x := v.(type) {
	case int:
		return int64(x)
	case []any:
		out := make([]any, len(x))
		for i, item := range x {
			out[i] = asRead(item)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(x))
		for key, item := range x {
			out[key] = asRead(item)
		}
		return out
	}
	return v
}

// assign returns root with the value at path, without changing what is shared
// with root.
func assign(root any, path Path, value any) (any, bool) {
	if len(path) == 0 {
		return value, true
	}
	switch key := path[0].(type) {
	case string:
		m, ok := root.(map[string]any)
		if !ok && root != nil {
			return nil, false
		}
		m = maps.Clone(m)
		if m == nil {
			m = map[string]any{}
		}
		m[key], ok = assign(m[key], path[1:], value)
		return m, ok
	case int:
		list, ok := root.([]any)
		if !ok && root != nil || key > len(list) {
			return nil, false
		}
		list = slices.Clone(list)
		if key == len(list) {
			list = append(list, nil)
		}
		list[key], ok = assign(list[key], path[1:], value)
		return list, ok
	}
	return nil, false
}
