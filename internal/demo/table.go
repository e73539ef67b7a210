package demo

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/printable"
)

// WriteTable writes the attempts and what they came to, for people.
func WriteTable(w io.Writer, r Report, colour bool) error {
	var b strings.Builder
	fmt.Fprintf(&b, "  %-40s %-19s %-19s %s\n", "ATTEMPT", heading(r.Sandbox), heading(r.Control)+" (control)", "JUDGED BY")
	for i, a := range Attempts() {
		sign := " "
		if slices.Contains(r.Differing, a.ID) {
			sign = "≠"
		}
		fmt.Fprintf(&b, "%s %-40s %s %s %s\n", sign, a.Title, cell(r.Sandbox.Results[i], colour), cell(r.Control.Results[i], colour), a.Judge)
	}
	for _, run := range []Run{r.Sandbox, r.Control} {
		aftermath(&b, run)
	}
	if r.Control.NotRun == "" {
		fmt.Fprintf(&b, "\n≠ %d of %d attempts came to something else on the host's own kernel. The control has\n"+
			"  the network that a pod has, with fake servers; a sandbox has no network device.\n", len(r.Differing), len(r.Sandbox.Results))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// aftermath tells how the host was reached, and what else the program said.
func aftermath(b *strings.Builder, r Run) {
	if r.Count(Reached) > 0 {
		fmt.Fprintf(b, "\nreached the host from %s:\n", r.Engine)
	}
	for _, res := range r.Results {
		if res.Outcome == Reached {
			fmt.Fprintf(b, "  %-13s %s\n", res.Attempt, printable.Text(res.Detail))
		}
	}
	for _, line := range r.Ignored {
		fmt.Fprintf(b, "output of the program under %s, ignored: %s\n", r.Engine, printable.Text(line))
	}
}

func heading(r Run) string { return strings.ToUpper(r.Engine) }

// Summary counts a run's outcomes in one line.
func Summary(r Run) string {
	if r.NotRun != "" {
		return fmt.Sprintf("%s (%s): not run: %s", r.Engine, r.Boundary, printable.Text(r.NotRun))
	}
	var counts []string
	for _, o := range []Outcome{Reached, Contained, Blocked, NotRun} {
		if n := r.Count(o); n > 0 || o == Reached {
			counts = append(counts, fmt.Sprintf("%d %s", n, o))
		}
	}
	return fmt.Sprintf("%s (%s, kernel %s): %s", r.Engine, r.Boundary, printable.Text(r.Kernel), strings.Join(counts, ", "))
}

// cell is an outcome of a fixed width.
func cell(r Result, colour bool) string {
	text := string(r.Outcome)
	if r.Error != "" {
		text += " " + short(r.Error)
	}
	padded := fmt.Sprintf("%-19s", text)
	if !colour {
		return padded
	}
	code := map[Outcome]string{Reached: "31", Contained: "32", Blocked: "32", NotRun: "33"}[r.Outcome]
	return "\x1b[" + code + "m" + padded + "\x1b[0m"
}

// short is an errno's name, or that there is none.
func short(e string) string {
	if len(e) > 12 || strings.ToUpper(e) != e || strings.ContainsFunc(e, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		return "(other)"
	}
	return e
}
