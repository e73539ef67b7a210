package report

import (
	"crypto/sha256"
	_ "embed" // the template and the style sheet
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

//go:embed report.html
var page string

//go:embed report.css
var styleSheet string

// WriteHTML writes the report as one file that loads nothing and runs nothing:
// its content security policy allows its own style sheet, by its hash. What
// comes from an input is escaped, and shown without characters that hide or
// reorder text.
func WriteHTML(w io.Writer, r Report, about About) error {
	t, err := template.New("report").Funcs(template.FuncMap{"plain": printable.Text, "plural": plural, "quoted": quoted, "place": place, "line": fileLine, "lines": yamlLines}).Parse(page)
	if err != nil {
		return fmt.Errorf("reading the report's template: %w", err)
	}
	sum := sha256.Sum256([]byte(styleSheet))
	v := htmlView{
		Report: r, About: about, Counts: workloadCounts(r.Summary), Picture: newPicture(r.Workloads),
		Style: template.CSS(styleSheet), StyleHash: base64.StdEncoding.EncodeToString(sum[:]), //nolint:gosec // a file of this package
	}
	for i, row := range worthTelling(r.Workloads) {
		v.Told = append(v.Told, newHTMLWorkload(row, i+1))
	}
	v.Rest = len(r.Workloads) - len(v.Told)
	if err := t.Execute(w, v); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// htmlView is what the template is given.
type htmlView struct {
	Report
	About
	Counts    string
	Told      []htmlWorkload
	Rest      int // workloads that are not worth telling
	Picture   picture
	Style     template.CSS
	StyleHash string
}

// Headline is what stands first: the worst that there is to say.
func (v htmlView) Headline() string {
	weak, unknown := 0, 0
	for _, w := range v.Told {
		switch w.Boundary.Verdict {
		case boundary.Satisfied:
		case boundary.Unsatisfied:
			weak++
		default:
			unknown++
		}
	}
	switch {
	case v.Unread() > 0:
		return fmt.Sprintf("Not everything could be read: %s", plural(v.Unread(), "error"))
	case weak > 0:
		return fmt.Sprintf("%s behind a weaker boundary than the risk calls for", are(weak))
	case v.Summary.Errors > 0:
		return fmt.Sprintf("%s to fix", plural(v.Summary.Errors, "error"))
	case unknown > 0:
		return fmt.Sprintf("%s behind a boundary that is not known", are(unknown))
	case len(v.NotEvaluated) > 0:
		return fmt.Sprintf("%s not evaluated", plural(len(v.NotEvaluated), "object"))
	case v.Summary.ByClass[risk.None.String()] == v.Summary.Workloads:
		return "No LLM workloads"
	}
	return "Every LLM workload has the boundary that its risk calls for"
}

func are(n int) string {
	if n == 1 {
		return "1 workload is"
	}
	return fmt.Sprintf("%d workloads are", n)
}

// Ok reports whether there is nothing to look at.
func (v htmlView) Ok() bool {
	return v.Summary.Errors == 0 && v.Unread() == 0 && len(v.NotEvaluated) == 0
}

// Unread counts what of the input could not be read.
func (v htmlView) Unread() int {
	n := 0
	for _, notice := range v.Notices {
		if notice.Level == rules.Error {
			n++
		}
	}
	return n
}

// htmlWorkload is a workload with what the template says of it.
type htmlWorkload struct {
	*Workload
	Anchor   string
	Title    string
	Tally    string
	Is       string
	Flags    []htmlFlag
	Has      string
	Needs    string
	InPlace  string
	Because  []htmlEvidence
	Groups   []htmlFinding
	Examples []htmlExample
}

type htmlFlag struct{ Name, Text string }

// htmlEvidence is one rule that fired, with its fields.
type htmlEvidence struct {
	Message, Rule, Shows string
	Fields               []Evidence
}

type htmlFinding struct {
	Name, Text, Rule, Where, Fix string
	Counts                       bool
}

type htmlExample struct{ Rule, Text string }

func newHTMLWorkload(w *Workload, n int) htmlWorkload {
	v := htmlWorkload{
		Workload: w, Anchor: fmt.Sprintf("w%d", n), Title: title(w), Tally: tally(w), Is: describeClass(w.RiskClass),
		Has: Has(w.Boundary), Needs: enough(w.Boundary), InPlace: strings.Join(inPlace(w), "; "),
	}
	for _, name := range flagNames(w) {
		v.Flags = append(v.Flags, htmlFlag{name, describeFlag(name, w)})
	}
	at := map[string]int{}
	for _, e := range w.Evidence {
		i, ok := at[e.Rule]
		if !ok {
			i = len(v.Because)
			at[e.Rule] = i
			v.Because = append(v.Because, htmlEvidence{Message: e.Message, Rule: e.Rule, Shows: shows(e)})
		}
		v.Because[i].Fields = append(v.Because[i].Fields, e)
	}
	for _, g := range grouped(w) {
		name, _ := word(g.severity, g.counts)
		f := htmlFinding{Name: name, Text: g.text, Rule: g.rule, Where: g.at, Fix: g.fix, Counts: g.counts}
		if g.line > 0 {
			f.Where = fmt.Sprintf("line %d", g.line)
		}
		v.Groups = append(v.Groups, f)
	}
	for _, f := range w.Findings {
		if f.Example != "" && f.Counts() && !f.Patched {
			v.Examples = append(v.Examples, htmlExample{f.Rule, f.Example})
		}
	}
	return v
}

func yamlLines(text string) []string { return strings.Split(strings.TrimRight(text, "\n"), "\n") }
