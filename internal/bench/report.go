package bench

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what `bulkhead bench` found. All of it was measured in one run.
type Report struct {
	APIVersion string  `json:"apiVersion"` // "bulkhead.dev/bench/v1"
	Rounds     int     `json:"rounds"`
	Machine    Machine `json:"machine"`
	Rows       []Row   `json:"rows"`
}

// Machine is where it was measured.
type Machine struct {
	Kernel string `json:"kernel"`
	Arch   string `json:"arch"`
	CPUs   int    `json:"cpus"`
}

// Row is one runtime.
type Row struct {
	Runtime  string `json:"runtime"`
	Boundary string `json:"boundary"`
	// Measured is nil when the runtime could not be measured: Reason says why.
	Measured *Measured `json:"measured,omitempty"`
	Reason   string    `json:"notMeasured,omitempty"`
}

// Measured are the samples of one runtime, in the order of the rounds.
type Measured struct {
	ColdMillis []float64 `json:"coldStartMillis"`
	WarmMillis []float64 `json:"warmExecMillis"`
	PSSBytes   []int64   `json:"pssBytes"`
	// Kernel is what the guest says of it.
	Kernel string `json:"kernel"`
	// Verdict of the boundary, "proven" or "unknown", and what it rests on.
	Verdict string `json:"verdict"`
	Proof   string `json:"proof"`
}

// notMeasured is the cell of what was not measured.
const notMeasured = "not measured"

// noTokens is why there are no tokens per second.
const noTokens = "tokens per second: not measured, this version serves no model"

// columns of the table.
func columns() []string {
	return []string{"runtime", "boundary", "cold start p50", "p95", "ratio to runc", "warm exec p50", "tokens/s", "RSS overhead (PSS)", "notes"}
}

// cells returns the table's rows.
func (r Report) cells() [][]string {
	var base Series
	for _, row := range r.Rows {
		if row.Runtime == "runc" && row.Measured != nil {
			base = series(row.Measured.ColdMillis)
		}
	}
	var out [][]string
	for _, row := range r.Rows {
		m := row.Measured
		if m == nil {
			out = append(out, []string{row.Runtime, row.Boundary, notMeasured, notMeasured, "", notMeasured, notMeasured, notMeasured, row.Reason})
			continue
		}
		cold, ratio := series(m.ColdMillis), notMeasured
		if len(base.Samples) > 0 {
			ratio = fmt.Sprintf("%.2f", cold.Ratio(base))
		}
		out = append(out, []string{
			row.Runtime, row.Boundary, ms(cold.Quantile(0.5)), ms(cold.Quantile(0.95)), ratio, ms(series(m.WarmMillis).Quantile(0.5)),
			notMeasured, fmt.Sprintf("%.1f MiB", float64(median(m.PSSBytes))/(1<<20)),
			fmt.Sprintf("kernel %s, %s: %s", m.Kernel, m.Verdict, m.Proof),
		})
	}
	return out
}

// Table writes the report for people.
func (r Report) Table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, strings.ToUpper(strings.Join(columns(), "\t")))
	for _, row := range r.cells() {
		fmt.Fprintln(t, strings.Join(row, "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", r.notes())
	return err
}

// Markdown writes the report as a table to publish.
func (r Report) Markdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(columns(), " | "), strings.Repeat("---|", len(columns())))
	for _, row := range r.cells() {
		for n := range row {
			row[n] = strings.ReplaceAll(row[n], "|", `\|`)
		}
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	fmt.Fprintf(&b, "\n%s\n", r.notes())
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Report) notes() string {
	return fmt.Sprintf("%d rounds, interleaved, on %d CPUs (%s, Linux %s). Cold start: from the engine's first step to the first byte of `echo`, "+
		"the check of the boundary included. RSS overhead: all processes of an idle sandbox, shared pages counted once. %s.",
		r.Rounds, r.Machine.CPUs, r.Machine.Arch, r.Machine.Kernel, noTokens)
}

func millis(s Series) []float64 {
	out := make([]float64, len(s.Samples))
	for n, d := range s.Samples {
		out[n] = float64(d.Microseconds()) / 1000
	}
	return out
}

func series(millis []float64) Series {
	var s Series
	for _, m := range millis {
		s.Samples = append(s.Samples, time.Duration(m*float64(time.Millisecond)))
	}
	return s
}

func median(values []int64) int64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
