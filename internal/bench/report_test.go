package bench

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// TestReport: ratios are to runc, round by round; what was not measured says so
// and why; nothing that a guest says breaks the table.
func TestReport(t *testing.T) {
	r := Report{Rounds: 3, Machine: Machine{Kernel: "6.1", Arch: "amd64", CPUs: 2}, Rows: []Row{
		{Runtime: "runc", Boundary: "shared-kernel", Measured: &Measured{
			ColdMillis: []float64{10, 20, 30}, WarmMillis: []float64{1, 2, 3}, PSSBytes: []int64{1 << 20, 3 << 20, 2 << 20}, Kernel: "6.1", Verdict: "proven", Proof: "same",
		}},
		{Runtime: "gVisor", Boundary: "user-kernel", Measured: &Measured{
			ColdMillis: []float64{30, 60, 90}, WarmMillis: []float64{4, 5, 6}, PSSBytes: []int64{20 << 20}, Kernel: "a|b", Verdict: "proven", Proof: "other",
		}},
		{Runtime: "Kata", Boundary: "virtual-machine", Reason: "no /dev/kvm"},
	}}
	var out bytes.Buffer
	if err := r.Markdown(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| runc | shared-kernel | 20.0 ms | 30.0 ms | 1.00 | 2.0 ms | not measured | 2.0 MiB | kernel 6.1, proven: same |\n",
		`| gVisor | user-kernel | 60.0 ms | 90.0 ms | 3.00 | 5.0 ms | not measured | 20.0 MiB | kernel a\|b, proven: other |` + "\n",
		"| Kata | virtual-machine | not measured | not measured |  | not measured | not measured | not measured | no /dev/kvm |\n",
		"3 rounds, interleaved, on 2 CPUs (amd64, Linux 6.1)",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, out.String())
		}
	}
	out.Reset()
	r.Rows = r.Rows[1:]
	if err := r.Table(&out); err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`90\.0 ms +not measured`).MatchString(out.String()) {
		t.Errorf("there is a ratio without a baseline:\n%s", out.String())
	}
}
