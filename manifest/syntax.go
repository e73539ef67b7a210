package manifest

import (
	"bytes"
	"errors"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

var errPanic = errors.New("yaml: the parser gave up")

var yamlErrorLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// maxSyntaxProbes bounds the work of placing one syntax error.
const maxSyntaxProbes = 64

// syntaxError places a parse error. The parser names the line where the broken
// construct began, or none, and no column. The longest run of lines that still
// parses ends just before the line that broke it, which is where a person has
// to look.
func syntaxError(text []byte, err error) (Position, string) {
	line, reason := 1, err.Error()
	if m := yamlErrorLine.FindStringSubmatch(reason); m != nil {
		reason = m[2]
		if m[1] != "" {
			line, _ = strconv.Atoi(m[1])
		}
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	line = min(max(line, 1), len(lines))
	if broken, ok := firstBrokenLine(lines, line); ok {
		line = broken
	}
	return Position{line, columnOf(lines[line-1], reason)}, reason
}

// firstBrokenLine looks around the reported line for the last prefix of the
// document that parses, and returns the line after it.
func firstBrokenLine(lines [][]byte, reported int) (int, bool) {
	from := max(reported-2, 0)
	to := min(len(lines), from+maxSyntaxProbes)
	if len(bytes.Join(lines[:to], nil)) > 256<<10 {
		return 0, false
	}
	last := -1
	for n := from; n < to; n++ {
		if parses(bytes.Join(lines[:n], nil)) {
			last = n
		}
	}
	if last < 0 || last >= len(lines) {
		return 0, false
	}
	// Blank lines and comments break nothing.
	for last < len(lines)-1 {
		if t := bytes.TrimSpace(lines[last]); len(t) > 0 && t[0] != '#' {
			break
		}
		last++
	}
	return last + 1, true
}

func parses(text []byte) bool {
	var n yaml.Node
	return decodeAll(text, &n) == nil
}

func decodeAll(text []byte, n *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errPanic
		}
	}()
	return yaml.Unmarshal(text, n)
}

// columnOf returns the column that the reason is about, as far as the line
// tells: a tab in the indentation, a second colon, else the first character.
func columnOf(line []byte, reason string) int {
	s := strings.TrimRight(string(line), "\r\n")
	body := strings.TrimLeft(s, " ")
	indent := len(s) - len(body)
	if strings.Contains(reason, "cannot start any token") {
		if i := strings.IndexAny(s, "\t@`%"); i >= 0 {
			return i + 1
		}
	}
	if strings.Contains(reason, "mapping values are not allowed") {
		if first := strings.Index(s, ": "); first >= 0 {
			if second := strings.Index(s[first+1:], ":"); second >= 0 {
				return first + 1 + second + 1
			}
		}
	}
	return indent + 1
}
