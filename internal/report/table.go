package report

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// WriteTable writes the report for people, grouped by file and workload.
func WriteTable(w io.Writer, r Report, colour bool) error {
	p := &printer{colour: colour}
	file := ""
	for i := range r.Workloads {
		row := &r.Workloads[i]
		if i == 0 || row.File != file {
			if i > 0 {
				p.printf("\n")
			}
			file = row.File
			p.printf("%s\n", p.style(bold, printable.Text(file)))
		}
		p.workload(row)
	}
	if len(r.Workloads) > 0 {
		p.printf("\n")
	}
	p.notEvaluated(r.NotEvaluated)
	p.runtimeClasses(r.RuntimeClasses)
	for _, n := range r.Notices {
		if n.Level == rules.Info { // the others are on standard error
			p.wrapped("", printable.Text(fmt.Sprintf("%s (%s)", n.Message, fileLine(n.File, n.Line))))
		}
	}
	p.summary(r.Summary)
	_, err := io.WriteString(w, p.b.String())
	return err
}

// title names a workload: Kind/name, its role, namespace and replicas.
func title(w *Workload) string {
	s := w.Kind + "/" + w.Name
	if w.Role != "" {
		s += " " + w.Role
	}
	if w.Namespace != "" {
		s += " (" + w.Namespace + ")"
	}
	if w.Replicas > 1 {
		s += fmt.Sprintf(", %d replicas", w.Replicas)
	}
	return printable.Text(s)
}

func (p *printer) workload(w *Workload) {
	p.printf("  %s\n", p.style(bold, title(w)))
	if w.RiskClass == risk.None && w.Declared == "" && !slices.ContainsFunc(w.Findings, func(f Finding) bool { return f.Control == "" }) {
		p.row("class", "", 0, none(w))
		return
	}
	class := w.RiskClass.String()
	if w.RiskClass > risk.Unknown {
		class += ", confidence " + string(w.Confidence)
	}
	for _, f := range flagNames(w) {
		class += ", " + f
	}
	p.row("class", "", 0, class)
	if w.Declared != "" {
		p.row("because", "", w.DeclaredLine, "label "+risk.ClassLabel+" = "+printable.Text(quoted(w.Declared)))
	}
	p.because(w)
	if w.RiskClass > risk.None {
		if !slices.ContainsFunc(w.Findings, aboutBoundary) {
			p.row("boundary", "", 0, fmt.Sprintf("needs %s, has %s: %s", w.Boundary.Required, printable.Text(Has(w.Boundary)), p.verdict(w.Boundary.Verdict)))
		}
		if list := inPlace(w); len(list) > 0 {
			p.row("in place", "", 0, printable.Text(strings.Join(list, "; ")))
		}
	}
	for _, g := range grouped(w) {
		if p.again(g.rule, g.object, g.text) {
			g.text, g.at, g.fix = g.object+", as above", "", ""
		}
		p.group(g)
	}
}

// none is all that there is to say about most of what is no LLM workload.
func none(w *Workload) string {
	text := "none: nothing shows that it is an LLM workload"
	if n := len(w.Findings); n > 0 {
		text += fmt.Sprintf("; of the baseline its containers lack %s", plural(n, "control"))
	}
	return text
}

// row is a word, a line number (0 is none) and text, in fixed columns.
func (p *printer) row(word, style string, line int, text string) {
	if style == "" {
		style = dim
	}
	at := ""
	if line > 0 {
		at = fmt.Sprintf("line %d", line)
	}
	p.wrapped("    "+p.style(style, fmt.Sprintf("%-8s", word))+fmt.Sprintf(" %-8s  ", at), text)
}

// because shows the first field of each rule; hints only where they are all
// that there is. JSON and explain have them all.
func (p *printer) because(w *Workload) {
	for i, e := range w.Evidence {
		first := slices.IndexFunc(w.Evidence, func(o Evidence) bool { return o.Rule == e.Rule })
		if first < i || e.Class == risk.Unknown && w.RiskClass > risk.Unknown {
			continue
		}
		more := -1
		for _, o := range w.Evidence {
			if o.Rule == e.Rule {
				more++
			}
		}
		rule := e.Rule
		if more > 0 {
			rule += fmt.Sprintf(", and %d more", more)
		}
		line, field := e.Line, e.Path
		switch {
		case e.File != "":
			line, field = 0, fmt.Sprintf("%s %s (%s:%d)", e.Object, e.Path, e.File, e.Line)
		case e.Object != "":
			field = e.Object + " " + e.Path
		}
		p.row("because", "", line, printable.Text(field+" = "+quoted(e.Value))+" "+p.style(dim, "["+printable.Text(rule)+"]"))
	}
}

// aboutBoundary: such a finding says what the workload needs and has.
func aboutBoundary(f Finding) bool { return f.Rule == "boundary" || f.Rule == "boundary-unknown" }

// flagNames are the flags that are worth saying about an LLM workload.
func flagNames(w *Workload) []string {
	var names []string
	if w.Spawner {
		names = append(names, "spawner")
	}
	if w.TenantData {
		names = append(names, "tenant-data")
	}
	if w.BroadEgress && w.RiskClass > risk.None {
		names = append(names, "broad-egress")
	}
	return names
}

// inPlace says what an LLM workload has as it should be, so that a report is
// not only what is wrong.
func inPlace(w *Workload) []string {
	var list []string
	written := w.ServiceAccount.Name != "" // the manifest has its pod
	if written && !slices.ContainsFunc(w.Findings, func(f Finding) bool { return f.Control != "" }) {
		list = append(list, "the whole baseline")
	}
	if written && !w.ServiceAccount.Token {
		list = append(list, "no API token (ServiceAccount "+w.ServiceAccount.Name+")")
	}
	if len(w.EgressPolicies) > 0 && !w.BroadEgress {
		list = append(list, "egress limited by NetworkPolicy "+strings.Join(w.EgressPolicies, ", "))
	}
	return list
}

// Has says in words which boundary a workload has, by its own claim.
func Has(b Boundary) string {
	name := b.Claimed
	if name == "" {
		name = "an unknown one"
	}
	switch {
	case b.RuntimeClassName == "":
		return name + " (default runtime)"
	case b.Handler == "":
		return name + " (RuntimeClass " + b.RuntimeClassName + ")"
	}
	return name + " (RuntimeClass " + b.RuntimeClassName + ", handler " + b.Handler + ")"
}

// group is one printed finding. All that a container lacks of the baseline is one.
type group struct {
	severity            rules.Severity
	counts              bool
	container           string
	object              string // another than the workload
	line                int
	text, rule, at, fix string
	lacks               []string // rules of the baseline
}

func grouped(w *Workload) []group {
	var out []group
	for _, f := range w.Findings {
		if f.Control == "" || !f.Counts() { // by whom it is waived is in the message
			g := group{severity: f.Severity, counts: f.Counts(), line: f.Line, object: f.Object, text: f.Message, rule: f.Rule, fix: f.Fix}
			if f.File != "" { // the line is not one of the file that the row stands under
				g.line, g.at = 0, fmt.Sprintf("at %s:%d", f.File, f.Line)
			}
			out = append(out, g)
			continue
		}
		i := slices.IndexFunc(out, func(g group) bool {
			return g.lacks != nil && g.container == f.Container && g.severity == f.Severity
		})
		if i < 0 {
			out = append(out, group{severity: f.Severity, counts: true, line: f.Line, container: f.Container})
			i = len(out) - 1
		}
		g := &out[i]
		g.lacks, g.line = append(g.lacks, f.Rule), min(g.line, f.Line)
		g.text = fmt.Sprintf("container %s lacks %s of the baseline: %s", f.Container, plural(len(g.lacks), "control"), strings.Join(g.lacks, ", "))
	}
	return out
}

func (p *printer) group(g group) {
	name, style := word(g.severity, g.counts)
	text := printable.Text(g.text)
	if g.rule != "" {
		text += " " + p.style(dim, "["+printable.Text(g.rule)+"]")
	}
	p.row(name, style, g.line, text)
	if g.at != "" {
		p.row("", "", 0, p.style(dim, printable.Text(g.at)))
	}
	if g.fix != "" && g.counts {
		p.row("", "", 0, p.style(dim, "fix:")+" "+printable.Text(g.fix))
	}
}

func (p *printer) notEvaluated(list []NotEvaluated) {
	if len(list) == 0 {
		return
	}
	p.printf("%s\n", p.style(yellow, "not evaluated"))
	for _, n := range list {
		p.printf("  %s:%d\n", printable.Text(n.File), n.Line)
		p.wrapped("    ", printable.Text(n.Kind+"/"+n.Name+": "+n.Reason))
	}
	p.printf("\n")
}

func (p *printer) runtimeClasses(list []RuntimeClass) {
	for _, c := range list {
		gives := c.Boundary
		if gives == "" {
			gives = "not a runtime that Bulkhead knows"
		}
		p.wrapped("", printable.Text(fmt.Sprintf("RuntimeClass %s has handler %s: %s", c.Name, c.Handler, gives)))
	}
}

// workloadCounts says how many workloads there are of each class, highest first.
func workloadCounts(s Summary) string {
	var classes []string
	all := risk.Classes()
	slices.Reverse(all)
	for _, c := range all {
		if n := s.ByClass[c.String()]; n > 0 {
			classes = append(classes, fmt.Sprintf("%d %s", n, c))
		}
	}
	if len(classes) == 0 {
		return "no workloads"
	}
	return fmt.Sprintf("%s: %s", plural(s.Workloads, "workload"), strings.Join(classes, ", "))
}

func (p *printer) summary(s Summary) {
	p.wrapped("", workloadCounts(s))
	p.printf("%s, %s, %d not evaluated\n", plural(s.Errors, "error"), plural(s.Warnings, "warning"), s.NotEvaluated)
	if s.Errors+s.Warnings > 0 {
		p.printf("%s `bulkhead explain FILE:KIND/NAME` shows why, and the exact change\n", p.style(dim, "next:"))
	}
}
