package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/report"
)

// checkText runs `bulkhead check ARGS... -` on a text.
func checkText(t *testing.T, text string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(t.TempDir()) // no bulkhead.yaml here or above
	var out, errs bytes.Buffer
	code = Main(context.Background(), append(append([]string{"check"}, args...), "-"), console.Streams{In: strings.NewReader(text), Out: &out, Err: &errs})
	return code, out.String(), errs.String()
}

const goodPod = "\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: good}\nspec: {containers: [{name: a, image: ollama/ollama}]}\n"

// What costs the reader must be refused within bounds, and not hide the rest.
// Standard output stays one JSON document.
func TestCheckRefusesWhatCosts(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
		goodWorkloads    int
	}{
		{"one long line", "a: " + strings.Repeat("x", 33<<20), "<stdin>:1: document of 33 MiB; at most 32 MiB are read", 1},
		{"many lines", "a:\n" + strings.Repeat("- xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", 800_000), "<stdin>:1: document of 34 MiB; at most 32 MiB are read", 1},
		{"nested lists", "a: " + strings.Repeat("[", 300) + strings.Repeat("]", 300), "<stdin>:1:204: nested deeper than 200 levels", 1},
		{"nested beyond the parser", strings.Repeat("[", 50_000), "<stdin>:1:1: exceeded max depth", 1},
		{"nested JSON", strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000), "<stdin>:1:1: exceeded max depth", 1},
		{"many documents", strings.Repeat("a: 1\n---\n", 100_001), "<stdin>:200000: more than 100000 documents", 0},
		{"binary", "\x7fELF\x00\x01", "<stdin>: binary file: it contains NUL bytes", 0},
		{"not UTF-8", "a: \xff", "<stdin>: binary file: it is not UTF-8 text", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Now()
			code, stdout, stderr := checkText(t, tt.text+goodPod, "-o", "json")
			if code != 2 || !strings.Contains(stderr, tt.want) || !strings.Contains(stderr, "\n  next: ") {
				t.Errorf("code %d, standard error\n%.500s\nwant 2 and %q with a next step", code, stderr, tt.want)
			}
			var r report.Report
			if err := json.Unmarshal([]byte(stdout), &r); err != nil {
				t.Fatalf("standard output is not JSON: %v\n%.500s", err, stdout)
			}
			if len(r.Workloads) != tt.goodWorkloads {
				t.Errorf("%d workloads, want %d", len(r.Workloads), tt.goodWorkloads)
			}
			if d := time.Since(start); d > 20*time.Second {
				t.Errorf("it took %s", d)
			}
		})
	}
}

// Nothing of a hostile manifest reaches the terminal as a command.
func TestCheckWritesNoControlCharacters(t *testing.T) {
	hostile := `x\e[2J\e]0;owned\a\u009b31m\u202e`
	text := strings.ReplaceAll(`
apiVersion: v1
kind: Pod
metadata: {name: "HOSTILE", namespace: "HOSTILE", labels: {bulkhead.dev/risk-class: "HOSTILE"}}
spec:
  runtimeClassName: "HOSTILE"
  serviceAccountName: "HOSTILE"
  "HOSTILE": 1
  containers: [{name: "HOSTILE", image: "HOSTILE/ollama", command: [jupyter, lab, "HOSTILE"]}]
---
apiVersion: "HOSTILE"
kind: "HOSTILE"
metadata: {name: "HOSTILE"}
spec: {containers: [{name: "HOSTILE"}]}
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: "HOSTILE"}
handler: "HOSTILE"
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: "HOSTILE", namespace: "HOSTILE"}
spec: {podSelector: {}, egress: [{}]}
---
{"HOSTILE": 1, "HOSTILE": 2}
`, "HOSTILE", hostile)
	file := filepath.Join(t.TempDir(), "hostile.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"check", file}, {"check", "-o", "json", file}, {"explain", file}, {"explain", file + ":Pod/\x1b[2J"}, {"check", "\x1b[2J"},
		{"check", "-o", "sarif", file}, {"check", "-o", "markdown", file}, {"check", "-o", "html", file}, {"check", "--config", "a\n::error::[2J"}, {"rules", "a\n::error::[2J"}} {
		var out, errs bytes.Buffer
		Main(context.Background(), args, console.Streams{Out: &out, Err: &errs})
		if !strings.Contains(out.String()+errs.String(), "[2J") {
			t.Errorf("%q: the hostile text is not in the output at all: nothing is shown\n%s%s", args, out.String(), errs.String())
		}
		for _, r := range out.String() + errs.String() {
			if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == '\u202e' {
				t.Errorf("%q: control character %U in the output", args, r)
				break
			}
		}
		for line := range strings.SplitSeq(out.String()+errs.String(), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "::error") {
				t.Errorf("%q: a CI runner acts on %q", args, line)
			}
		}
	}
}

func TestColoursOnATerminalOnly(t *testing.T) {
	terminal, tty, err := pty.Open()
	if err != nil {
		t.Skipf("no pseudo-terminal here: %v", err)
	}
	defer terminal.Close()
	defer tty.Close()
	for _, tt := range []struct {
		name, noColor, term string
		out                 io.Writer
		want                bool
	}{
		{"a terminal", "", "xterm", tty, true},
		{"NO_COLOR", "1", "xterm", tty, false},
		{"a dumb terminal", "", "dumb", tty, false},
		{"not a terminal", "", "xterm", &bytes.Buffer{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("NO_COLOR", tt.noColor)
			t.Setenv("TERM", tt.term)
			if got := coloured(tt.out); got != tt.want {
				t.Errorf("colours: %v, want %v", got, tt.want)
			}
		})
	}
}
