//go:build linux

package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/testbin"
)

// looks says what a pod's own processes have of rights and of places to write.
const looks = `
id -u
grep -E '^Cap(Eff|Prm|Bnd|Amb):' /proc/self/status | tr -d '\t'
grep '^NoNewPrivs' /proc/self/status | tr -d '\t'
for d in / /etc /usr /var/tmp /run /home/user /app; do touch $d/.written 2>/dev/null && echo wrote $d; done
true
`

// TestHardenedExamplesRun: each example pod that a boundary of this machine is
// enough for starts as harden leaves it, answers its probes, and has a read-only
// root, no root and no capability. The others are refused.
func TestHardenedExamplesRun(t *testing.T) {
	for _, name := range []string{"bulkhead-runsc", "bulkhead-guest"} {
		testbin.Path(t, name)
	}
	i := install(t, 0)
	out := filepath.Join(i.home, "hardened")
	examples, err := filepath.Abs("../../examples/toolchain")
	if err != nil {
		t.Fatal(err)
	}
	run := func(code int, args ...string) (stdout, stderr string) {
		t.Helper()
		cmd := i.command(args...)
		var errs strings.Builder
		cmd.Stderr = &errs
		got, err := cmd.Output()
		if c := exitCode(t, err); c != code {
			t.Fatalf("%v: code %d, want %d\n%s%s", args, c, code, got, errs.String())
		}
		return string(got), errs.String()
	}
	cmd := i.command("harden", "--out-dir", out, examples)
	if text, err := cmd.CombinedOutput(); exitCode(t, err) > 1 { // what stays is a finding
		t.Fatalf("harden: %s", text)
	}
	checked, _ := i.command("check", "-o", "json", out).Output()
	var report struct {
		Workloads []struct {
			File, Kind, Name string
			Boundary         struct{ Required string }
		}
	}
	if err := json.Unmarshal(checked, &report); err != nil {
		t.Fatal(err)
	}
	var ran, refused []string
	for _, w := range report.Workloads {
		file := w.File
		if !filepath.IsAbs(file) {
			file = filepath.Join(i.home, file)
		}
		pod := w.Kind + "/" + w.Name
		if w.Boundary.Required == "virtual-machine" {
			_, why := run(125, "run", "-f", file, "--pod", pod, "--image", "host", "--probe")
			if !strings.Contains(why, "needs virtual-machine") {
				t.Errorf("%s: %s", pod, why)
			}
			refused = append(refused, pod)
			continue
		}
		_, said := run(0, "run", "-f", file, "--pod", pod, "--image", "host", "--probe", "--limits", "best-effort")
		if !strings.Contains(said, "all containers are ready") {
			t.Errorf("%s: %s", pod, said)
		}
		name := strings.ToLower(w.Name)
		run(0, "run", "-d", "--name", name, "-f", file, "--pod", pod, "--image", "host", "--limits", "best-effort")
		got, _ := run(0, "exec", name, "sh", "-c", looks)
		const nothing = "0000000000000000"
		if want := "65532\nCapPrm:" + nothing + "\nCapEff:" + nothing + "\nCapBnd:" + nothing + "\nCapAmb:" + nothing + "\nNoNewPrivs:1\n"; withoutAmbient(got) != withoutAmbient(want) {
			t.Errorf("%s: looked as\n%s\nwant\n%s", pod, got, want)
		}
		run(0, "rm", "-f", name)
		ran = append(ran, pod)
	}
	slices.Sort(ran)
	if got, want := strings.Join(ran, " ")+"; "+strings.Join(refused, " "), "Deployment/model Pod/search; Pod/interpreter"; got != want {
		t.Errorf("ran; refused: %s, want %s", got, want)
	}
	if entries, err := os.ReadDir(out); err != nil || len(entries) == 0 {
		t.Errorf("nothing was hardened: %v", err)
	}
}

// withoutAmbient leaves out what a kernel of gVisor does not tell.
func withoutAmbient(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "CapAmb:") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "")
}
