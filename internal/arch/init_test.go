package arch

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/testbin"
)

// TestInit bounds what the package initialisation of the command line allocates:
// every run, and every check in a pipeline, pays it before it does anything. Its
// time (a few milliseconds) goes with that, and is another on each machine.
func TestInit(t *testing.T) {
	for binary, most := range map[string]int{"bulkhead": 3_000, "bulkhead-decide": 20_000} {
		cmd := exec.CommandContext(t.Context(), testbin.Path(t, binary), "version")
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatal(err)
		}
		took, allocations := initialised(t, string(out))
		t.Logf("package initialisation of %s: %.2f ms, %d allocations", binary, took, allocations)
		if allocations > most {
			t.Errorf("package initialisation of %s makes %d allocations, allowed are %d:\n%s", binary, allocations, most, out)
		}
	}
}

// initialised sums lines such as "init os @0.1 ms, 0.02 ms clock, 64 bytes, 1 allocs".
func initialised(t *testing.T, trace string) (milliseconds float64, allocations int) {
	t.Helper()
	line := regexp.MustCompile(`^init \S+ @\S+ ms, (\S+) ms clock, \d+ bytes, (\d+) allocs`)
	lines := 0
	for l := range strings.Lines(trace) {
		m := line.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		ms, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(m[2])
		if err != nil {
			t.Fatal(err)
		}
		milliseconds, allocations, lines = milliseconds+ms, allocations+n, lines+1
	}
	if lines < 10 {
		t.Fatalf("only %d packages in the trace: it no longer measures anything\n%s", lines, trace)
	}
	return milliseconds, allocations
}
