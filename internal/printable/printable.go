// Package printable makes foreign text fit for terminals and the logs of CI
// runners: manifests, guests and clusters have words of their own, all hostile.
package printable

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Text returns s with everything visible that could drive a terminal or a CI
// runner, or hide text: control characters, also of the C1 set, bidirectional
// overrides and the beginnings of workflow commands are written as escapes.
func Text(s string) string { return noCommands(escaped(s)) }

func escaped(s string) string {
	clean := true
	for _, r := range s {
		if hostile(r) {
			clean = false
			break
		}
	}
	if clean && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case hostile(r) && r < 0x100:
			fmt.Fprintf(&b, `\x%02x`, r)
		case hostile(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// CI runners act on lines of a job's output: GitHub on `::name` at the beginning
// of one (and a line is broken wherever it is full, so at any word), GitHub,
// Azure and TeamCity on `##[`, `##vso[` and `##teamcity[`.
//
//nolint:gochecknoglobals // constants, made when they are first needed
var (
	workflowCommand = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(^|[\s\p{Z}])::([A-Za-z])`) })
	loggingCommand  = regexp.MustCompile(`(?i)##(\[|vso\[|teamcity\[)`)
)

func noCommands(s string) string {
	if strings.Contains(s, "::") {
		s = workflowCommand().ReplaceAllString(s, `${1}:\x3a${2}`)
	}
	if strings.Contains(s, "##") {
		s = loggingCommand.ReplaceAllString(s, `#\x23${1}`)
	}
	return s
}

func hostile(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029'
}

// Lines is Text of each line of s.
func Lines(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = Text(line)
	}
	return strings.Join(lines, "\n")
}

// JSON returns the text of a JSON document, whose lines may end as they do, with
// the rest of what Text writes as escapes in the escapes of JSON.
func JSON(text string) string {
	var out strings.Builder
	for _, r := range loggingCommand.ReplaceAllString(text, `\u0023#${1}`) {
		switch {
		case r == '\n' || !hostile(r):
			out.WriteRune(r)
		case r > 0xFFFF:
			r1, r2 := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, r1, r2)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.String()
}
