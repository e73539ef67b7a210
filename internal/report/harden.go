package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// HardeningVersion names the form of a Hardening in JSON.
const HardeningVersion = "bulkhead.dev/hardening/v1"

// Hardening is what `bulkhead harden` changes, and what stays to be done.
type Hardening struct {
	APIVersion string     `json:"apiVersion"`
	Workloads  []Hardened `json:"workloads"`
	Files      []Diff     `json:"files"`
	// Refused are documents that could not be edited safely.
	Refused []Notice         `json:"refused"`
	Summary HardeningSummary `json:"summary"`
}

// HardeningSummary counts.
type HardeningSummary struct {
	Workloads int `json:"workloads"` // with changes or findings
	Changes   int `json:"changes"`
	Files     int `json:"files"`
	Refused   int `json:"refused"`
	Findings  int `json:"findings"` // that stay, count and are more than info
}

// Hardened is one workload.
type Hardened struct {
	File      string     `json:"file"`
	Line      int        `json:"line"`
	Kind      string     `json:"kind"`
	Namespace string     `json:"namespace"`
	Name      string     `json:"name"`
	RiskClass risk.Class `json:"riskClass"`
	Changes   []Change   `json:"changes"`
	// Added are the new files that stand around it.
	Added []Added `json:"added,omitempty"`
	// Findings are those that stay: a person has to decide, or the cluster needs
	// something first.
	Findings []Finding `json:"findings"`
	// Kept says why the changes were not made; "" where they were.
	Kept string `json:"kept,omitempty"`
}

// Change is one field that is set.
type Change struct {
	Rule   string `json:"rule"`
	Path   string `json:"path"`
	Line   int    `json:"line"`   // before the change: of the field, or of where it is put
	Before string `json:"before"` // "" where the field was missing
	After  string `json:"after"`
	Breaks string `json:"breaks"` // what may stop working
	See    string `json:"see"`    // how that shows
}

// Added is a new file with one object.
type Added struct {
	Rule   string `json:"rule"`
	File   string `json:"file"`
	Object string `json:"object"` // its kind and name
	Breaks string `json:"breaks"`
	See    string `json:"see"`
}

// Diff is what changes in one file.
type Diff struct {
	File    string `json:"file"`
	Written string `json:"written"` // where the result was written; "" for nowhere
	Diff    string `json:"diff"`    // unified
}

// Count fills the summary.
func (h *Hardening) Count() {
	h.APIVersion = HardeningVersion
	h.Summary = HardeningSummary{Workloads: len(h.Workloads), Files: len(h.Files), Refused: len(h.Refused)}
	for _, w := range h.Workloads {
		if w.Kept == "" {
			h.Summary.Changes += len(w.Changes)
		}
		for _, f := range w.Findings {
			if f.Counts() && f.Severity != rules.Info {
				h.Summary.Findings++
			}
		}
	}
}

// Worst reports whether a finding that stays counts and is at least as severe.
func (h Hardening) Worst(s rules.Severity) bool {
	for _, w := range h.Workloads {
		for _, f := range w.Findings {
			if f.Counts() && severityRank(f.Severity) >= severityRank(s) {
				return true
			}
		}
	}
	return false
}

// WriteHardeningJSON writes it as JSON.
func WriteHardeningJSON(w io.Writer, h Hardening) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(h)
}

// WriteDiff writes the files' unified diffs, coloured where asked for.
func WriteDiff(w io.Writer, files []Diff, colour bool) error {
	p := &printer{colour: colour}
	for _, f := range files {
		for line := range strings.Lines(f.Diff) {
			text, end := strings.TrimSuffix(line, "\n"), "\n"
			switch {
			case !colour: // a patch, byte by byte
				p.b.WriteString(line)
				continue
			case strings.HasPrefix(text, "diff "), strings.HasPrefix(text, "--- "), strings.HasPrefix(text, "+++ "):
				text = p.style(bold, printable.Text(text))
			case strings.HasPrefix(text, "@@"):
				text = p.style(dim, printable.Text(text))
			case strings.HasPrefix(text, "+"):
				text = p.style(green, printable.Text(strings.TrimSuffix(text, "\r")))
			case strings.HasPrefix(text, "-"):
				text = p.style(red, printable.Text(strings.TrimSuffix(text, "\r")))
			default:
				text = printable.Text(strings.TrimSuffix(text, "\r"))
			}
			p.b.WriteString(text + end)
		}
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

// WriteHardeningExplained tells each change: its rule, before, after, what may
// break and how that shows.
func WriteHardeningExplained(w io.Writer, h Hardening, colour bool) error {
	p := &printer{colour: colour}
	for i := range h.Workloads {
		row := &h.Workloads[i]
		if len(row.Changes)+len(row.Added) == 0 {
			continue
		}
		p.printf("%s\n%s:%d\n", p.style(bold, row.title()), printable.Text(row.File), row.Line)
		for _, c := range row.Changes {
			p.hardened(c)
		}
		for _, a := range row.Added {
			p.hardened(Change{Rule: a.Rule, Path: a.File, After: a.Object, Breaks: a.Breaks, See: a.See})
		}
		p.printf("\n")
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

// hardened tells one change.
func (p *printer) hardened(c Change) {
	before := c.Before
	if before == "" {
		before = "(missing)"
	}
	p.wrapped("  ", p.style(bold, printable.Text(c.Path))+" "+p.style(dim, "["+printable.Text(c.Rule)+"]"))
	p.wrapped("    before  ", printable.Text(before))
	p.wrapped("    after   ", printable.Text(c.After))
	p.wrapped("    breaks  ", printable.Text(c.Breaks))
	p.wrapped("    seen by ", printable.Text(c.See))
}

func (w *Hardened) title() string {
	return title(&Workload{Kind: w.Kind, Name: w.Name, Namespace: w.Namespace})
}

// WriteHardeningLeft says what stays to be done, and counts.
func WriteHardeningLeft(w io.Writer, h Hardening, colour bool) error {
	p := &printer{colour: colour}
	for i := range h.Workloads {
		row := &h.Workloads[i]
		if len(row.Findings) == 0 && row.Kept == "" {
			continue
		}
		p.printf("%s:%d: %s\n", printable.Text(row.File), row.Line, p.style(bold, row.title()))
		if row.Kept != "" {
			p.wrapped("  "+p.style(yellow, "kept    ")+" ", printable.Text(fmt.Sprintf("%s were not made: %s", plural(len(row.Changes), "change"), row.Kept)))
		}
		for _, f := range row.Findings {
			if f.Severity == rules.Info {
				continue // -o json has them
			}
			name, style := word(f.Severity, f.Counts())
			if p.again(f.Rule, f.Object, f.Message) {
				p.wrapped("  "+p.style(style, fmt.Sprintf("%-8s", name))+" ", printable.Text(f.Object)+", as above "+p.style(dim, "["+printable.Text(f.Rule)+"]"))
				continue
			}
			p.wrapped("  "+p.style(style, fmt.Sprintf("%-8s", name))+" ", printable.Text(f.Message)+" "+p.style(dim, "["+printable.Text(f.Rule)+"]"))
			if f.Counts() && f.Fix != "" {
				p.wrapped("           ", p.style(dim, printable.Text("next: "+f.Fix)))
			}
			if f.Counts() && !f.Patched {
				for line := range strings.Lines(f.Example) {
					p.printf("               %s\n", printable.Text(strings.TrimSuffix(line, "\n")))
				}
			}
		}
	}
	s := h.Summary
	p.printf("%s in %s; %s\n", plural(s.Changes, "change"), plural(s.Files, "file"), stays(s.Findings))
	_, err := io.WriteString(w, p.b.String())
	return err
}

func stays(n int) string {
	switch n {
	case 0:
		return "nothing is left to decide"
	case 1:
		return "1 finding stays"
	}
	return fmt.Sprintf("%d findings stay", n)
}
