package printable_test

import (
	"regexp"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/bulkhead-dev/bulkhead/internal/printable"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"as it is, auch über Zeichen: 漢字": "as it is, auch über Zeichen: 漢字",
		"\x1b[2J":                         `\x1b[2J`,
		"a\nb\tc\rd":                      `a\nb\tc\x0dd`,
		"\u009b31m\x7f":                   `\x9b31m\x7f`,
		"\u202egnp.exe":                   `\u202egnp.exe`,
		"a\u2028b":                        `a\u2028b`,
		"soft\u00adwrap":                  `soft\xadwrap`,
		"bad \xff byte":                   `bad \xff byte`,
		"\uFFFD":                          "\uFFFD",
		"::error file=a::b":               `:\x3aerror file=a::b`,
		"a ::warning::b":                  `a :\x3awarning::b`,
		"a\u00a0::warning::b":             "a\u00a0" + `:\x3awarning::b`,
		"::/0 and std::string":            "::/0 and std::string",
		"a##[group]b":                     `a#\x23[group]b`,
		"###VSO[task.complete]":           `##\x23VSO[task.complete]`,
		"##teamcity[x]":                   `#\x23teamcity[x]`,
		"## a heading":                    "## a heading",
	} {
		if got := printable.Text(in); got != want {
			t.Errorf("%q is written as %q, want %q", in, got, want)
		}
	}
}

// FuzzText: nothing that could drive a terminal is left, whatever the input.
func FuzzText(f *testing.F) {
	f.Add("\x1b]0;x\a\u009b\u202e\xff\xc2")
	f.Add("a\n::error::b\t::notice::##vso[c]")
	command := regexp.MustCompile(`(?i)(^|[\s\p{Z}])::[a-z]|##(\[|vso\[|teamcity\[)`)
	f.Fuzz(func(t *testing.T, s string) {
		out := printable.Text(s)
		if !utf8.ValidString(out) {
			t.Errorf("%q is written as %q", s, out)
		}
		for _, r := range out {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				t.Errorf("%q is written as %q", s, out)
			}
		}
		if command.MatchString(out) {
			t.Errorf("%q is written as %q: a CI runner would act on it", s, out)
		}
	})
}
