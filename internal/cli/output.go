package cli

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/internal/version"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// reportFormats are the values of check's --output.
func reportFormats() []string { return []string{"table", "json", "sarif", "markdown", "html"} }

// warn says on standard error what of the configuration has no effect; what it
// switches off is in the report alone.
func (in input) warn(w io.Writer) {
	for _, n := range in.aboutConfig {
		if n.Level == rules.Warning {
			fmt.Fprintf(w, "bulkhead: warning: %s:%d: %s\n", printable.Text(n.File), n.Line, printable.Text(n.Message))
			fmt.Fprintf(w, "  next: %s\n", printable.Text(n.Next))
		}
	}
}

// writeReport writes the report in one of the formats.
func writeReport(s console.Streams, format string, rep report.Report, inForce []rules.Rule) error {
	about := report.About{Version: version.String(), Time: time.Now(), Rules: inForce}
	var err error
	switch format {
	case "json":
		err = report.WriteJSON(s.Out, rep)
	case "sarif":
		if about.Root, err = os.Getwd(); err == nil {
			err = report.WriteSARIF(s.Out, rep, about)
		}
	case "markdown":
		err = report.WriteMarkdown(s.Out, rep)
	case "html":
		err = report.WriteHTML(s.Out, rep, about)
	default:
		err = report.WriteTable(s.Out, rep, coloured(s.Out))
	}
	if err != nil {
		return fault.WithCode(fmt.Errorf("writing the report: %w", err), fault.Usage)
	}
	return nil
}
