package demo

import (
	"crypto/sha256"
	_ "embed" // the template and the style sheet
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"slices"

	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/internal/report"
)

//go:embed report.html
var page string

//go:embed report.css
var style string

// WriteHTML writes the report as one file that loads nothing and runs nothing:
// its content security policy allows its own style sheet, by its hash. What
// comes from manifests and from the program is escaped, and shown without
// characters that hide or reorder text.
func WriteHTML(w io.Writer, r Report) error {
	t, err := template.New("report").Funcs(template.FuncMap{
		"plain":    printable.Text,
		"describe": report.Has,
		"bar":      bar,
	}).Parse(page)
	if err != nil {
		return fmt.Errorf("reading the report's template: %w", err)
	}
	sum := sha256.Sum256([]byte(style))
	data := view{
		Report: r, Runs: []Run{r.Sandbox, r.Control}, Style: template.CSS(style), //nolint:gosec // a file of this package
		StyleHash: base64.StdEncoding.EncodeToString(sum[:]),
	}
	for i, a := range Attempts() {
		data.Rows = append(data.Rows, row{
			Attempt: a, Differs: slices.Contains(r.Differing, a.ID),
			Cells: []cellView{{r.Sandbox.Results[i], r.Sandbox.Engine}, {r.Control.Results[i], r.Control.Engine + " (control)"}},
		})
	}
	for i := range r.Check.Workloads {
		if wl := &r.Check.Workloads[i]; wl.Kind+"/"+wl.Name == r.Workload {
			data.Interpreter = wl
		}
	}
	if err := t.Execute(w, data); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	return nil
}

// view is what the template is given.
type view struct {
	Report
	Runs        []Run
	Rows        []row
	Interpreter *report.Workload
	Style       template.CSS
	StyleHash   string
}

// Ok reports whether nothing reached the host, and everything was tried.
func (v view) Ok() bool { return v.Sandbox.Count(Reached) == 0 && v.Sandbox.Count(NotRun) == 0 }

// row is one attempt with what it came to.
type row struct {
	Attempt
	Cells   []cellView
	Differs bool
}

// cellView is a result under the heading of its column.
type cellView struct {
	Result
	Engine string
}

// segment is a part of a bar, in attempts.
type segment struct {
	Outcome Outcome
	Class   string
	From, N int
}

// bar lays a run's outcomes side by side.
func bar(r Run) []segment {
	var out []segment
	at := 0
	for _, o := range []Outcome{Reached, Contained, Blocked, NotRun} {
		n := r.Count(o)
		if n == 0 {
			continue
		}
		out = append(out, segment{Outcome: o, Class: class(o), From: at, N: n})
		at += n
	}
	return out
}

func class(o Outcome) string {
	if o == NotRun {
		return "notrun"
	}
	return string(o)
}

// Class is the result's class in the style sheet.
func (r Result) Class() string { return class(r.Outcome) }
