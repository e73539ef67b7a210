package report

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// What GitHub takes as one comment is 65,536 characters. The parts have bounds
// of their own, so that a long one does not crowd out the next; in bytes, which
// are never fewer than characters.
const (
	maxMarkdown = 65_000
	maxNotices  = 4_000
	maxRows     = 20_000
	maxUnjudged = 4_000
	maxCode     = 160 // characters of one name or value
	maxText     = 700 // characters of one message
)

// WriteMarkdown writes the report as a comment on a pull request: a table, and
// for each workload with findings a part that opens. It is bounded, and says
// what it leaves out. Nothing of an input is Markdown, a link or a mention in it.
func WriteMarkdown(w io.Writer, r Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## Bulkhead: %s, %s\n\n", plural(r.Summary.Errors, "error"), plural(r.Summary.Warnings, "warning"))
	b.WriteString(workloadCounts(r.Summary) + ".\n")
	bounded(&b, maxNotices, "\n**Not to be overlooked**\n\n", "notices", len(r.Notices), func(i int) string {
		n := r.Notices[i]
		return fmt.Sprintf("- **%s** %s: %s\n", n.Level, codeSpan(fileLine(n.File, n.Line)), markdownText(n.Message))
	})
	told := worthTelling(r.Workloads)
	bounded(&b, maxRows, "\n| Workload | Class | Needs | Has | Findings |\n| --- | --- | --- | --- | --- |\n", "workloads", len(told), func(i int) string {
		return markdownRow(told[i])
	})
	if rest := len(r.Workloads) - len(told); rest > 0 {
		fmt.Fprintf(&b, "\n%s with nothing of an LLM workload and no finding that counts.\n", plural(rest, "other workload"))
	}
	var unjudged strings.Builder
	bounded(&unjudged, maxUnjudged, "\n**Not evaluated**\n\n", "objects", len(r.NotEvaluated), func(i int) string {
		n := r.NotEvaluated[i]
		return fmt.Sprintf("- %s in %s: %s\n", codeSpan(n.Kind+"/"+n.Name), codeSpan(fileLine(n.File, n.Line)), markdownText(n.Reason))
	})
	const next = "\n`bulkhead explain FILE:KIND/NAME` shows why, and the exact change.\n"
	found := slices.DeleteFunc(told, func(w *Workload) bool { return len(w.Findings) == 0 })
	bounded(&b, maxMarkdown-b.Len()-unjudged.Len()-len(next), "", "workloads with findings", len(found), func(i int) string {
		return markdownDetails(found[i])
	})
	b.WriteString(unjudged.String())
	if len(found) > 0 {
		b.WriteString(next)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// bounded writes head and n items, as many as limit bytes have room for, and how
// many there is no room for.
func bounded(b *strings.Builder, limit int, head, what string, n int, item func(i int) string) {
	const roomForCount = 120
	if n == 0 {
		return
	}
	b.WriteString(head)
	limit -= len(head) + roomForCount
	for i := range n {
		text := item(i)
		if limit -= len(text); limit < 0 {
			fmt.Fprintf(b, "\n… and %d more %s, for which there is no room here.\n", n-i, what)
			return
		}
		b.WriteString(text)
	}
}

func fileLine(file string, line int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d", file, line)
}

// worthTelling are the LLM workloads and those with a finding that counts and
// is more than the baseline's, the worst first.
func worthTelling(all []Workload) []*Workload {
	var out []*Workload
	for i := range all {
		w := &all[i]
		if w.RiskClass > risk.None || slices.ContainsFunc(w.Findings, func(f Finding) bool { return f.Counts() && f.Severity != rules.Info }) {
			out = append(out, w)
		}
	}
	slices.SortStableFunc(out, func(a, b *Workload) int {
		ea, wa := counts(a)
		eb, wb := counts(b)
		return cmp.Or(cmp.Compare(eb, ea), cmp.Compare(wb, wa), cmp.Compare(b.RiskClass, a.RiskClass))
	})
	return out
}

// counts are the workload's errors and warnings that count.
func counts(w *Workload) (errors, warnings int) {
	for _, f := range w.Findings {
		switch {
		case !f.Counts():
		case f.Severity == rules.Error:
			errors++
		case f.Severity == rules.Warning:
			warnings++
		}
	}
	return errors, warnings
}

// tally says in words what is found about a workload.
func tally(w *Workload) string {
	errors, warnings := counts(w)
	waived := 0
	for _, f := range w.Findings {
		if !f.Counts() {
			waived++
		}
	}
	var parts []string
	if errors > 0 {
		parts = append(parts, plural(errors, "error"))
	}
	if warnings > 0 {
		parts = append(parts, plural(warnings, "warning"))
	}
	if waived > 0 {
		parts = append(parts, fmt.Sprintf("%d waived", waived))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func markdownRow(w *Workload) string {
	name := codeSpan(w.Kind + "/" + w.Name)
	if w.Role != "" {
		name += " " + codeSpan(w.Role)
	}
	if w.Namespace != "" {
		name += " in " + codeSpan(w.Namespace)
	}
	class := w.RiskClass.String()
	if flags := flagNames(w); len(flags) > 0 {
		class += ", " + strings.Join(flags, ", ")
	}
	has := w.Boundary.Claimed
	if has == "" {
		has = "not known"
	}
	verdict := string(w.Boundary.Verdict)
	if w.Boundary.Verdict != "satisfied" {
		verdict = "**" + verdict + "**"
	}
	return fmt.Sprintf("| %s | %s | %s | %s: %s | %s |\n", name, class, w.Boundary.Required, markdownText(has), verdict, tally(w))
}

func markdownDetails(w *Workload) string {
	var b strings.Builder
	// A line of HTML, in which Markdown has no meaning.
	fmt.Fprintf(&b, "\n<details>\n<summary><code>%s</code>: %s</summary>\n\n", html.EscapeString(cut(title(w), maxCode)), tally(w))
	fmt.Fprintf(&b, "In %s. It needs %s: %s.\n\n", codeSpan(fileLine(w.File, w.Line)), w.Boundary.Required, markdownText(w.Boundary.Reason))
	if w.Declared != "" {
		fmt.Fprintf(&b, "- declared %s, by its label, line %d\n", codeSpan(w.Declared), w.DeclaredLine)
	}
	for i, e := range w.Evidence {
		if slices.IndexFunc(w.Evidence, func(o Evidence) bool { return o.Rule == e.Rule }) < i {
			continue // the first field of each rule is enough here
		}
		fmt.Fprintf(&b, "- %s, by rule %s: %s, %s\n", shows(e), codeSpan(e.Rule), codeSpan(e.Path+" = "+quoted(e.Value)), codeSpan(place(e.Object, e.File, e.Line)))
	}
	for _, g := range grouped(w) {
		name, _ := word(g.severity, g.counts)
		fmt.Fprintf(&b, "- **%s**", name)
		if g.line > 0 {
			fmt.Fprintf(&b, " line %d", g.line)
		}
		fmt.Fprintf(&b, ": %s", markdownText(g.text))
		if g.rule != "" {
			fmt.Fprintf(&b, " (%s)", codeSpan(g.rule))
		}
		if g.at != "" {
			fmt.Fprintf(&b, " %s", codeSpan(g.at))
		}
		if g.fix != "" && g.counts {
			fmt.Fprintf(&b, "<br>Fix: %s", markdownText(g.fix))
		}
		b.WriteByte('\n')
	}
	b.WriteString("\n</details>\n")
	return b.String()
}

// codeSpan shows foreign text as code, in which neither Markdown nor GitHub
// gives anything a meaning: no HTML, link, mention, reference or emphasis. A
// pipe would end a cell of a table even there.
func codeSpan(s string) string {
	s = strings.ReplaceAll(cut(printable.Text(cut(s, maxCode)), maxCode), "|", "¦")
	fence := "`"
	for strings.Contains(s, fence) {
		fence += "`"
	}
	pad := ""
	if s == "" || strings.HasPrefix(s, "`") || strings.HasSuffix(s, "`") || strings.HasPrefix(s, " ") {
		pad = " "
	}
	return fence + pad + s + pad + fence
}

// plainWord has no character that means something to Markdown.
//
//nolint:gochecknoglobals // a constant, made when it is first needed
var plainWord = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[\p{L}\p{N},.;:'"()/%+=?…-]+$`) })

// meant is what Markdown or GitHub makes something of without any such character:
// addresses, references to issues, emoji.
var meant = regexp.MustCompile(`(?i)://|www\.|\bgh-\d|:[a-z0-9+-]+:`)

// markdownText is a message of which parts may be foreign: words that are more
// than text become code.
func markdownText(s string) string {
	words := strings.Fields(cut(printable.Text(cut(s, maxText)), maxText))
	for i, w := range words {
		if !plainWord().MatchString(w) || meant.MatchString(w) {
			words[i] = codeSpan(w)
		}
	}
	return strings.Join(words, " ")
}

// cut bounds a text to n characters, at a cost that n bounds too.
func cut(s string, n int) string {
	if len(s) > n*utf8.UTFMax {
		s = s[:n*utf8.UTFMax]
	}
	if runes := []rune(s); len(runes) > n {
		return string(runes[:n-1]) + "…"
	}
	return s
}
