package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/risk"
)

// WriteExplain tells one workload's outcome, in this order: what it is, the
// evidence, the boundary that it needs and why, what it has, what stands around
// it, what is missing, the exact change.
func WriteExplain(w io.Writer, row Workload, colour bool) error {
	p := &printer{colour: colour}
	p.printf("%s\n%s:%d\n", p.style(bold, title(&row)), printable.Text(row.File), row.Line)
	p.whatItIs(&row)
	p.evidenceOf(&row)
	p.heading("What it needs")
	p.printf("  %s\n", p.style(bold, row.Boundary.Required.String()))
	p.wrapped("  ", printable.Text(row.Boundary.Reason))
	p.wrapped("  ", printable.Text(enough(row.Boundary)))
	p.heading("What it has")
	p.wrapped("  ", p.style(bold, printable.Text(Has(row.Boundary)))+": "+p.verdict(row.Boundary.Verdict))
	p.wrapped("  ", printable.Text(row.Boundary.Claim))
	if row.Boundary.Claimed != "" {
		p.wrapped("  ", "this is what the manifest claims, and no proof")
	}
	p.around(&row)
	p.missing(&row)
	p.change(&row)
	_, err := io.WriteString(w, p.b.String())
	return err
}

func (p *printer) heading(s string) { p.printf("\n%s\n", p.style(bold, s)) }

func (p *printer) whatItIs(w *Workload) {
	p.heading("What it is")
	class := p.style(bold, w.RiskClass.String())
	if w.RiskClass > risk.Unknown {
		class += " (confidence " + string(w.Confidence) + ")"
	}
	p.wrapped("  ", class+": "+describeClass(w.RiskClass))
	for _, f := range flagNames(w) {
		p.wrapped("  ", f+": "+describeFlag(f, w))
	}
}

func describeClass(c risk.Class) string {
	switch c {
	case risk.Inference:
		return "it serves a model or routes requests to one"
	case risk.Retrieval:
		return "it stores, embeds or fetches documents that end up in prompts"
	case risk.ToolCalling:
		return "a model decides which of its tools are called"
	case risk.CodeExecution:
		return "it runs code that a model or a remote user wrote"
	case risk.Unknown:
		return "it has to do with a model, but the evidence does not decide what it does"
	}
	return "nothing shows that it is an LLM workload"
}

func describeFlag(name string, w *Workload) string {
	switch {
	case name == "spawner":
		return "it can create other pods"
	case name == "tenant-data":
		return "it serves several tenants' prompts or data"
	case len(w.EgressPolicies) > 0:
		return "a NetworkPolicy lets its packets go anywhere"
	}
	return "no NetworkPolicy of the input limits where its packets go"
}

func (p *printer) evidenceOf(w *Workload) {
	p.heading("Evidence")
	if len(w.Evidence) == 0 && w.Declared == "" {
		p.printf("  none\n")
	}
	if w.Declared != "" {
		p.wrapped("  ", "its own declaration")
		p.wrapped("    ", fmt.Sprintf("line %d: label %s = %s", w.DeclaredLine, risk.ClassLabel, printable.Text(quoted(w.Declared))))
	}
	said := map[string]bool{}
	for _, e := range w.Evidence {
		if said[e.Rule] {
			continue
		}
		said[e.Rule] = true
		p.wrapped("  ", printable.Text(e.Message)+" "+p.style(dim, "["+printable.Text(e.Rule)+": "+shows(e)+"]"))
		for _, f := range w.Evidence {
			if f.Rule == e.Rule {
				p.wrapped("    ", printable.Text(place(f.Object, f.File, f.Line)+": "+f.Path+" = "+quoted(f.Value)))
			}
		}
	}
}

// shows is what the evidence is for: a class, or the one flag that evidence sets.
func shows(e Evidence) string {
	if e.Class == risk.None {
		return "spawner"
	}
	return e.Class.String()
}

// place names a line, and the object that it is in where that is another one.
func place(object, file string, line int) string {
	switch {
	case object == "":
		return fmt.Sprintf("line %d", line)
	case file == "":
		return fmt.Sprintf("line %d, %s", line, object)
	}
	return fmt.Sprintf("%s:%d, %s", file, line, object)
}

// enough says what meets the requirement.
func enough(b Boundary) string {
	names := make([]string, len(b.Runtimes))
	for i, rt := range b.Runtimes {
		names[i] = string(rt)
	}
	return fmt.Sprintf("any runtime that gives it or more is enough; first choice: %s", strings.Join(names, ", then "))
}

// around tells what decides beside the pod itself.
func (p *printer) around(w *Workload) {
	p.heading("What stands around it")
	if w.ServiceAccount.Name != "" { // the manifest has its pod
		p.wrapped("  ", printable.Text("ServiceAccount "+w.ServiceAccount.Name+": "+w.ServiceAccount.Reason))
	}
	if len(w.EgressPolicies) == 0 {
		p.wrapped("  ", "NetworkPolicy for its egress: none in the input")
		return
	}
	p.wrapped("  ", printable.Text("NetworkPolicy for its egress: "+strings.Join(w.EgressPolicies, ", ")))
}

func (p *printer) missing(w *Workload) {
	p.heading("What is missing")
	if len(w.Findings) == 0 {
		p.printf("  nothing\n")
	}
	for _, f := range w.Findings {
		name, style := word(f.Severity, f.Counts())
		p.wrapped("  "+p.style(style, fmt.Sprintf("%-8s", name))+" ", printable.Text(f.Message)+" "+p.style(dim, "["+printable.Text(f.Rule)+"]"))
		p.wrapped("           ", p.style(dim, printable.Text("at "+place(f.Object, f.File, f.Line)+": "+f.Path)))
	}
}

func (p *printer) change(w *Workload) {
	p.heading("The exact change")
	if w.Patch == "" && len(w.Findings) == 0 {
		p.printf("  none\n")
		return
	}
	if w.Patch != "" {
		p.printf("  # a strategic merge patch, for kubectl patch or a kustomization\n")
		p.yaml(w.Patch)
	}
	for _, f := range w.Findings {
		if f.Patched || !f.Counts() {
			continue
		}
		p.hanging("  # ", "  #   ", printable.Text(f.Rule+": "+f.Fix))
		if f.Example != "" {
			p.yaml(f.Example)
		}
	}
}

func (p *printer) yaml(text string) {
	for line := range strings.SplitSeq(strings.TrimRight(text, "\n"), "\n") {
		p.printf("  %s\n", printable.Text(line))
	}
}
