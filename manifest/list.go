package manifest

import (
	"bytes"
	"encoding/json"
	"slices"
)

// asList reads a document that is a List item by item, so that a List of many
// thousands of objects costs what as many documents cost. It reads nothing, and
// returns false, where the items do not stand alone: anchors that one has from
// another, an item that is broken or no object. Then the document is read as a
// whole, which says what is wrong.
func (b *reading) asList(doc document) bool {
	cut, ok := cutBlock(doc, b.limits.Documents)
	if !ok {
		cut, ok = cutJSON(doc, b.limits.Documents)
	}
	if !ok || values(cut.head.text) > b.limits.Values {
		return false
	}
	head := b.alone()
	head.document(cut.head)
	if len(head.Errors)+len(head.Objects)+len(head.Other) > 0 || head.opened == nil {
		return false
	}
	if _, ok := head.opened.Value["items"]; !ok {
		return false // it was in a text
	}
	items := b.alone()
	for _, item := range cut.items {
		if values(item.text) > b.limits.Values || !items.item(head.opened, cut.copy(item)) {
			return false
		}
	}
	b.Objects = append(b.Objects, items.Objects...)
	b.Other = append(b.Other, items.Other...)
	return true
}

// alone returns a reading of the same file that has found nothing yet.
func (b *reading) alone() *reading {
	return &reading{file: b.file, limits: b.limits, large: b.large, names: b.names}
}

// item reads one item of a List; false where it is not one object.
func (b *reading) item(list *Object, doc document) bool {
	objects, others := len(b.Objects), len(b.Other)
	b.document(doc)
	if len(b.Other) == others+1 {
		if o := b.Other[others]; list.lends(o.Value) {
			b.Other, b.marks = b.Other[:others], o.marks
			b.object(o.root, o.Value)
		}
	}
	return len(b.Errors) == 0 && b.opened == nil && len(b.Objects)+len(b.Other) == objects+others+1
}

// cutting is a List in parts.
type cutting struct {
	head  document   // the List without its items
	items []document // in the text of the whole
	dash  int        // where an item's text has a dash that is not its own; -1: nowhere
}

// copy returns an item as a document of its own, with what it has in the columns
// that it has them in.
func (c cutting) copy(item document) document {
	item.text = bytes.Clone(item.text)
	if c.dash >= 0 {
		item.text[c.dash] = ' '
	}
	return item
}

// cutBlock cuts a List in block style, as kubectl writes it: `items:` at the start of a
// line, and each item behind a dash in one column.
func cutBlock(doc document, most int) (cutting, bool) {
	text := doc.text
	before := 0
	if !bytes.HasPrefix(text, []byte("items:")) {
		if before = bytes.Index(text, []byte("\nitems:")) + 1; before == 0 {
			return cutting{}, false
		}
	}
	first := endOfLine(text, before)
	rest := text[before+len("items:") : first]
	if text := bytes.TrimSpace(rest); len(text) > 0 && (text[0] != '#' || rest[0] != ' ') || strangeBreaks(doc.text) {
		return cutting{}, false
	}
	c := cutting{dash: -1}
	line := doc.line + bytes.Count(text[:first], []byte("\n"))
	at := first
	for ; at < len(text); line++ {
		end := endOfLine(text, at)
		body := bytes.TrimLeft(text[at:end], " ")
		indent := end - at - len(body)
		switch rest := bytes.TrimSpace(body); {
		case len(rest) == 0 || rest[0] == '#':
		case (c.dash < 0 || c.dash == indent) && body[0] == '-' && (len(rest) == 1 || body[1] == ' '):
			if c.dash = indent; len(c.items) == most {
				return cutting{}, false
			}
			c.items = append(c.items, document{line: line, text: text[at:at]})
		case c.dash < 0 || indent == 0:
			return c.around(doc, before, first, at)
		case indent <= c.dash:
			return cutting{}, false
		}
		if n := len(c.items); n > 0 {
			item := &c.items[n-1]
			item.text = item.text[:len(item.text)+end-at]
		}
		at = end
	}
	return c.around(doc, before, first, at)
}

// around makes the head of what stands before and behind the items.
func (c cutting) around(doc document, before, first, behind int) (cutting, bool) {
	var head bytes.Buffer
	head.Write(doc.text[:before])
	head.WriteString("items: []\n")
	head.Write(doc.text[behind:])
	c.head = document{text: head.Bytes(), line: doc.line}
	return c, first < behind && len(c.items) > 0
}

// endOfLine returns the offset behind the line that begins at an offset.
func endOfLine(text []byte, at int) int {
	if n := bytes.IndexByte(text[at:], '\n'); n >= 0 {
		return at + n + 1
	}
	return len(text)
}

// strangeBreaks reports whether the text has line breaks of YAML that are not
// those of other texts.
func strangeBreaks(text []byte) bool {
	if bytes.Count(text, []byte("\r")) != bytes.Count(text, []byte("\r\n")) {
		return true
	}
	return bytes.Contains(text, []byte("\u0085")) || bytes.Contains(text, []byte("\u2028")) || bytes.Contains(text, []byte("\u2029"))
}

// cutJSON cuts a List in JSON. What is not JSON, though it may be YAML, it leaves
// alone.
func cutJSON(doc document, most int) (cutting, bool) {
	if !bytes.Contains(doc.text, []byte(`"items"`)) || strangeBreaks(doc.text) {
		return cutting{}, false
	}
	c := cutting{dash: -1}
	dec := json.NewDecoder(bytes.NewReader(doc.text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return cutting{}, false
	}
	from, to := 0, 0
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return cutting{}, false
		}
		if key != "items" {
			var skipped json.RawMessage
			if dec.Decode(&skipped) != nil {
				return cutting{}, false
			}
			continue
		}
		if t, err := dec.Token(); err != nil || t != json.Delim('[') || from > 0 {
			return cutting{}, false
		}
		from = int(dec.InputOffset())
		if !c.elements(doc, dec, most) {
			return cutting{}, false
		}
		to = int(dec.InputOffset()) - len("]")
	}
	if _, err := dec.Token(); err != nil || len(c.items) == 0 || len(bytes.TrimSpace(doc.text[dec.InputOffset():])) > 0 {
		return cutting{}, false
	}
	c.head = document{text: slices.Concat(doc.text[:from], doc.text[to:]), line: doc.line}
	return c, true
}

// elements cuts the elements of the array that the decoder is in, and reads its end.
func (c *cutting) elements(doc document, dec *json.Decoder, most int) bool {
	line, lineStart, at := doc.line, 0, 0
	for dec.More() {
		var value json.RawMessage
		if dec.Decode(&value) != nil || len(c.items) == most {
			return false
		}
		end := int(dec.InputOffset())
		begin := end - len(value)
		if last := bytes.LastIndexByte(doc.text[at:begin], '\n'); last >= 0 {
			line, lineStart = line+bytes.Count(doc.text[at:begin], []byte("\n")), at+last+1
		}
		at = begin
		c.items = append(c.items, document{text: doc.text[begin:end], line: line, column: begin - lineStart})
	}
	_, err := dec.Token()
	return err == nil
}
