package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

var errTooLarge = errors.New("document too large")

// document is the text of one YAML document and the line of its first line.
type document struct {
	text   []byte
	line   int
	column int // what of that line is not part of it; of items in JSON
	size   int // in bytes, of a document that was skipped because of it
}

// splitter cuts a stream at document markers before it is parsed, so that a
// syntax error ends one document and not the file. A marker at the start of a
// line ends every YAML construct, so this cuts nowhere else than a parser does.
type splitter struct {
	r     *bufio.Reader
	limit int
	line  int    // lines read so far
	size  int    // bytes of the current document so far
	carry []byte // a `---` line that begins the next document
	done  bool
}

// next returns the next document, io.EOF after the last, or errTooLarge for a
// document that was skipped because of its size (its line and size are set).
func (s *splitter) next() (document, error) {
	if s.done && s.carry == nil {
		return document{}, io.EOF
	}
	doc := document{line: s.line + 1}
	s.size = len(s.carry)
	directives := 0 // so far (%YAML): they belong to the document after the marker; -1 once it has begun
	if s.carry != nil {
		doc.line, doc.text, s.carry = s.line, s.carry, nil
		directives = -1
	}
	tooLarge := false
	for !s.done {
		line, err := s.readLine(s.limit)
		if errors.Is(err, errTooLarge) {
			tooLarge = true
		} else if errors.Is(err, io.EOF) {
			s.done = true
		} else if err != nil {
			s.done = true
			return doc, err
		}
		if len(line) > 0 || !s.done {
			s.line++
		}
		if marker(line, "---") && directives <= 0 {
			s.carry = bytes.Clone(line)
			break
		}
		switch {
		case directives < 0 || blankOrComment(line):
		case line[0] == '%':
			directives++
		default:
			directives = -1
		}
		if !tooLarge {
			doc.text = append(doc.text, line...)
		}
		if len(doc.text) > s.limit {
			tooLarge, doc.text = true, nil
		}
		if marker(line, "...") {
			break
		}
	}
	if tooLarge {
		return document{line: doc.line, size: s.size}, errTooLarge
	}
	return doc, nil
}

func blankOrComment(line []byte) bool {
	text := bytes.TrimSpace(line)
	return len(text) == 0 || text[0] == '#'
}

// readLine reads one line with its line break. A line longer than limit is
// skipped and reported as errTooLarge.
func (s *splitter) readLine(limit int) ([]byte, error) {
	var line []byte
	for {
		part, err := s.r.ReadSlice('\n')
		s.size += len(part)
		if line == nil && err == nil {
			return part, nil
		}
		if len(line) <= limit {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case len(line) > limit:
			return nil, errors.Join(errTooLarge, err)
		}
		return line, err
	}
}

func marker(line []byte, mark string) bool {
	if !bytes.HasPrefix(line, []byte(mark)) {
		return false
	}
	return len(line) == len(mark) || bytes.IndexByte([]byte(" \t\r\n"), line[len(mark)]) >= 0
}
