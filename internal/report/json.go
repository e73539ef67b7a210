package report

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/bulkhead-dev/bulkhead/internal/printable"
)

// WriteJSON writes a value, indented; a report by the contract. What could drive
// a terminal or a CI runner is written as \u escapes, which JSON reads back
// unchanged.
func WriteJSON(w io.Writer, v any) error {
	rep, ok := v.(Report)
	if !ok || len(rep.Workloads) == 0 {
		return writeIndented(w, v, "")
	}
	// Workload by workload: the text of thousands at once is a multiple of them.
	workloads := rep.Workloads
	rep.Workloads = []Workload{}
	var around bytes.Buffer
	if err := writeIndented(&around, rep, ""); err != nil {
		return err
	}
	before, after, _ := bytes.Cut(around.Bytes(), []byte(`"workloads": []`))
	out := bufio.NewWriterSize(w, 64<<10)
	fmt.Fprintf(out, "%s\"workloads\": [\n", before)
	var one bytes.Buffer
	for i := range workloads {
		one.Reset()
		if err := writeIndented(&one, &workloads[i], "    "); err != nil {
			return err
		}
		end := ","
		if i == len(workloads)-1 {
			end = ""
		}
		fmt.Fprintf(out, "    %s%s\n", bytes.TrimSuffix(one.Bytes(), []byte("\n")), end)
	}
	fmt.Fprintf(out, "  ]%s", after)
	return out.Flush()
}

// writeIndented writes a value and a line's end. Its lines but the first begin
// with the prefix.
func writeIndented(w io.Writer, v any, prefix string) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetIndent(prefix, "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("encoding the report: %w", err)
	}
	if harmless(buf.Bytes()) {
		_, err := w.Write(buf.Bytes())
		return err
	}
	_, err := io.WriteString(w, printable.JSON(buf.String()))
	return err
}

// harmless reports whether the text is ASCII without control characters and
// without what could begin a command of a CI runner: most reports are.
func harmless(text []byte) bool {
	for _, c := range text {
		if c < ' ' && c != '\n' || c > '~' {
			return false
		}
	}
	return !bytes.Contains(text, []byte("##"))
}
