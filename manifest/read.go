package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Limits bound what one input may cost.
type Limits struct {
	DocumentBytes int // one document
	Documents     int // documents in one file
	Values        int // values in one document, roughly
	Depth         int // nesting of one document
	AliasedNodes  int // values that aliases may expand to in one document
}

// DefaultLimits are far above what a Kubernetes API server accepts (3 MiB for
// a request) and far below what would hurt the reader: the largest document
// costs less than 1 GiB of memory.
func DefaultLimits() Limits {
	return Limits{DocumentBytes: 32 << 20, Documents: 100_000, Values: 800_000, Depth: 200, AliasedNodes: 200_000}
}

// Batch is what one file held.
type Batch struct {
	Objects []*Object
	// Other are documents that are mappings but not Kubernetes objects (they
	// lack apiVersion or kind).
	Other  []*Object
	Errors []*Error
}

// Read reads a stream of YAML or JSON documents. A document that cannot be read
// becomes an error in the batch and the next one is read; only a stream that
// breaks or is not text ends early.
func Read(file string, r io.Reader, limits Limits) Batch {
	return read(file, r, limits, &sync.Mutex{})
}

// largeDocument is the size from which documents are parsed one at a time, so
// that several files that are read at once cost no more than the largest does.
const largeDocument = 1 << 20

func read(file string, r io.Reader, limits Limits, large *sync.Mutex) Batch {
	b := &reading{file: file, limits: limits, large: large, names: &names{seen: map[string]string{}}}
	s := &splitter{r: bufio.NewReaderSize(r, 8<<10), limit: limits.DocumentBytes}
	for n := 0; ; n++ {
		doc, err := s.next()
		if errors.Is(err, io.EOF) {
			return b.Batch
		}
		at := Position{Line: doc.line}
		switch {
		case errors.Is(err, errTooLarge):
			b.fail(at, splitIt, "document of %d MiB; at most %d MiB are read", doc.size>>20, limits.DocumentBytes>>20)
			continue
		case err != nil:
			b.fail(Position{}, "check that the file can be read", "reading: %v", err)
			return b.Batch
		case n >= limits.Documents:
			b.fail(at, "split the file", "more than %d documents", limits.Documents)
			return b.Batch
		}
		if reason := notText(doc.text); reason != "" {
			b.fail(Position{}, "name manifests only: YAML or JSON in UTF-8", "%s", reason)
			return b.Batch
		}
		switch {
		case b.asList(doc):
		case len(doc.text) > limits.Values && values(doc.text) > limits.Values:
			b.fail(at, splitIt, "document has more than %d values", limits.Values)
		default:
			b.document(doc)
		}
	}
}

const splitIt = "split it: the API server refuses objects above 3 MiB, and a List can be several documents"

// values returns about how many values a document has, and never less: each but
// the first has one of these characters before it.
func values(text []byte) int {
	n := 1
	for _, c := range []string{",", ":", "-", "[", "{", "?"} {
		n += bytes.Count(text, []byte(c))
	}
	return n
}

// reading is the work on one file.
type reading struct {
	Batch
	file   string
	limits Limits
	large  *sync.Mutex
	names  *names
	marks  []mark  // of the current document
	opened *Object // the List that was opened last
}

func (b *reading) fail(at Position, hint, format string, args ...any) {
	b.Errors = append(b.Errors, &Error{File: b.file, Line: at.Line, Column: at.Column, Reason: fmt.Sprintf(format, args...), Hint: hint})
}

// document parses one document of the stream.
func (b *reading) document(doc document) {
	if len(bytes.TrimSpace(doc.text)) == 0 {
		return
	}
	if len(doc.text) > largeDocument {
		b.large.Lock()
		defer b.large.Unlock()
	}
	if m, marks, ok := readPlain(doc, b.names, b.limits); ok {
		before := len(b.Objects)
		b.marks = marks
		b.object(0, m)
		if len(b.Objects) == before+1 {
			b.Objects[before] = b.Objects[before].lean(doc)
		}
		return
	}
	b.decodeDocument(doc)
}

// decodeDocument reads a document with the YAML library. A decoder loop, because
// YAML has more line breaks than "\n": what a lone "\r" separates must not be
// skipped.
func (b *reading) decodeDocument(doc document) {
	dec := yaml.NewDecoder(bytes.NewReader(doc.text))
	for {
		var root yaml.Node
		err := decode(dec, &root)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			at, reason := syntaxError(doc.text, err)
			at.Line += doc.line - 1
			hint := "correct the YAML on this line, or quote the value"
			if strings.Contains(reason, "max depth") {
				hint = tooDeep
			}
			b.fail(at, hint, "%s", reason)
			return
		}
		shift(&root, doc.line-1, doc.column)
		b.root(&root)
	}
}

// decode guards against panics of the YAML parser on hostile input.
func decode(dec *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: %v", p)
		}
	}()
	return dec.Decode(n)
}

// shift moves a document that begins at a line and a column of its file to there.
func shift(n *yaml.Node, lines, columns int) {
	if lines == 0 && columns == 0 {
		return
	}
	if n.Line == 1 {
		n.Column += columns
	}
	n.Line += lines
	for _, c := range n.Content {
		shift(c, lines, columns)
	}
}

// root turns a parsed document into objects.
func (b *reading) root(doc *yaml.Node) {
	n := doc
	if n.Kind == yaml.DocumentNode {
		if len(n.Content) == 0 {
			return
		}
		n = n.Content[0]
	}
	conv := &converter{limits: b.limits, names: b.names, open: map[*yaml.Node]bool{}}
	v, err := conv.value(n, 0)
	if err != nil {
		b.node(n, err)
		return
	}
	if v == nil {
		return // comments only, or an explicit null
	}
	m, ok := v.(map[string]any)
	if !ok {
		b.fail(Position{n.Line, n.Column}, "a manifest begins with apiVersion and kind", "document is %s, not an object", describe(v))
		return
	}
	made := surveyor{anchors: map[*yaml.Node]int32{}, names: b.names}
	made.add(n, nil)
	b.marks = slices.Clip(made.marks)
	b.object(0, m)
}

func (b *reading) node(n *yaml.Node, err error) {
	var bn *badNode
	if errors.As(err, &bn) {
		b.fail(Position{bn.node.Line, bn.node.Column}, bn.hint, "%s", bn.reason)
		return
	}
	b.fail(Position{n.Line, n.Column}, "", "%v", err)
}

// object files one mapping, whose mark is at root; a List is opened.
func (b *reading) object(root int32, m map[string]any) {
	o := &Object{File: b.file, marks: b.marks, root: root, Value: m}
	for _, f := range []struct {
		path Path
		into *string
	}{
		{Path{"apiVersion"}, &o.APIVersion},
		{Path{"kind"}, &o.Kind},
		{Path{"metadata", "name"}, &o.Name},
		{Path{"metadata", "namespace"}, &o.Namespace},
	} {
		v, ok := Lookup(m, f.path)
		if !ok {
			continue
		}
		s, ok := v.(string)
		if !ok {
			at, _ := o.Position(f.path)
			b.fail(at, "quote it", "%s is %s, not a string", f.path, describe(v))
			return
		}
		*f.into = s
	}
	if o.APIVersion == "" || o.Kind == "" {
		b.Other = append(b.Other, o)
		return
	}
	if items, ok := m["items"].([]any); ok && len(o.Kind) > 4 && o.Kind[len(o.Kind)-4:] == "List" || o.Kind == "List" {
		b.opened = o
		b.list(o, items)
		return
	}
	b.Objects = append(b.Objects, o)
}

func (b *reading) list(list *Object, items []any) {
	in := step(b.marks, list.root, "items")
	if in < 0 {
		return // an empty list, left out
	}
	child := target(b.marks, in) + 1
	for i, item := range items {
		root := child
		child = b.marks[child].end
		at := Position{int(b.marks[root].line), int(b.marks[root].column)}
		m, ok := item.(map[string]any)
		if !ok {
			b.fail(at, "a List holds objects only", "items[%d] is %s, not an object", i, describe(item))
			continue
		}
		if _, nested := m["items"]; nested && m["kind"] == "List" {
			b.fail(at, "the API server refuses it; flatten the list", "items[%d] is a List in a List", i)
			continue
		}
		list.lends(m)
		b.object(target(b.marks, root), m)
	}
}

// lends gives an item its apiVersion and kind where it has neither: typed lists
// (PodList) have them for all.
func (o *Object) lends(item map[string]any) bool {
	if _, ok := item["kind"]; ok || o.Kind == "List" {
		return false
	}
	item["kind"], item["apiVersion"] = o.Kind[:len(o.Kind)-4], o.APIVersion
	return true
}

// describe names a value's type in the words of YAML.
func describe(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "a string"
	case bool:
		return "a boolean"
	case int64, float64:
		return "a number"
	case []any:
		return "a list"
	case map[string]any:
		return "a mapping"
	}
	return fmt.Sprintf("a %T", v)
}

func notText(text []byte) string {
	if bytes.IndexByte(text, 0) >= 0 {
		return "binary file: it contains NUL bytes"
	}
	if !utf8.Valid(text) {
		return "binary file: it is not UTF-8 text"
	}
	return ""
}
