package report

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

const redacted = "[redacted]"

// maxValue is how many characters of a value are shown.
const maxValue = 120

// secretPatterns find secrets in command lines and URLs: what follows a name
// that says so, known token forms, and a password in a URL. The first group is kept.
//
//nolint:gochecknoglobals // a constant, made when it is first needed
var secretPatterns = sync.OnceValue(func() []*regexp.Regexp {
	return []*regexp.Regexp{
		regexp.MustCompile(`(?i)((?:[a-z0-9_.-]*)(?:api[_-]?key|access[_-]?key|token|secret|passw(?:or)?d|credential|bearer)[a-z0-9_-]*["']?(?:\s*[=:]\s*|\s+)["']?)[^\s"']+`),
		regexp.MustCompile(`()\b(?:sk-[A-Za-z0-9_-]{8,}|hf_[A-Za-z0-9]{8,}|gh[pousr]_[A-Za-z0-9]{8,}|github_pat_[A-Za-z0-9_]{8,}|xox[abpr]-[A-Za-z0-9-]{8,}|AKIA[0-9A-Z]{12,}|AIza[0-9A-Za-z_-]{20,}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_.-]+)`),
		regexp.MustCompile(`([a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+@`),
	}
})

// Redact returns a value as a report may show it: what looks like a secret is
// replaced, and long values are cut.
func Redact(s string) string {
	s = strings.TrimSpace(redactSecrets(s))
	if utf8.RuneCountInString(s) > maxValue {
		runes := []rune(s)
		s = string(runes[:maxValue-1]) + "…"
	}
	return s
}

func redactSecrets(s string) string {
	for i, re := range secretPatterns() {
		tail := ""
		if i == 2 {
			tail = "@"
		}
		s = re.ReplaceAllString(s, "${1}"+redacted+tail)
	}
	return s
}

// Value shows the value of a field. Of an environment variable only the name
// is ever shown, whatever the path's form; of a mapping its name.
func Value(path string, v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		if envValue.MatchString(path) {
			return redacted
		}
		return Redact(x)
	case map[string]any:
		if name, ok := x["name"].(string); ok {
			return Redact(name)
		}
		return "{…}"
	case []any:
		var parts []string
		for _, item := range x {
			parts = append(parts, Value(path, item))
		}
		return Redact("[" + strings.Join(parts, " ") + "]")
	}
	if envValue.MatchString(path) {
		return redacted
	}
	return fmt.Sprint(v)
}

var envValue = regexp.MustCompile(`\benv\[\d+\]\.value|\b(?:data|stringData|binaryData)\b`)
