package report_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/internal/report"
)

// TestUnifiedDiffShowsNoSecret: neither as context nor on a changed line, and
// where it can it stays a patch.
func TestUnifiedDiffShowsNoSecret(t *testing.T) {
	before := "spec:\n  containers:\n    - env:\n        - name: A\n          value: hunter2\n      image: b\n      args: [--api-key=sk-0123456789abcdef]\n    - {name: c, env: [{name: B, value: hunter3}, {name: C, value: \"hunter4\"}]}\n"
	after := strings.Replace(before, "hunter2\n", "hunter2\n        - name: HOME\n          value: /tmp\n", 1)
	want := "--- a/x.yaml\n+++ b/x.yaml\n@@ -6,1 +6,3 @@\n+        - name: HOME\n+          value: /tmp\n       image: b\n"
	if diff := cmp.Diff(want, report.UnifiedDiff("x.yaml", []byte(before), []byte(after))); diff != "" {
		t.Error(diff)
	}
	after = strings.Replace(before, "hunter4\"}]", "hunter4\"}], image: d", 1)
	want = "--- a/x.yaml\n+++ b/x.yaml\n@@ -8,1 +8,1 @@\n-    - {name: c, env: [{name: B, value: [redacted]}, {name: C, value: [redacted]}]}\n+    - {name: c, env: [{name: B, value: [redacted]}, {name: C, value: [redacted]}], image: d}\n"
	if diff := cmp.Diff(want, report.UnifiedDiff("x.yaml", []byte(before), []byte(after))); diff != "" {
		t.Error(diff)
	}
}

// TestUnifiedDiffLineNumbers: a later part says where it is in both files, also
// behind two changes that one part shows.
func TestUnifiedDiffLineNumbers(t *testing.T) {
	var before strings.Builder
	for i := range 40 {
		fmt.Fprintf(&before, "line%d:\n", i+1)
	}
	after := strings.NewReplacer("line5:\n", "line5:\nx:\n", "line10:\n", "line10:\ny:\n", "line30:\n", "line30:\nz:\n").Replace(before.String())
	var heads []string
	for line := range strings.Lines(report.UnifiedDiff("x.yaml", []byte(before.String()), []byte(after))) {
		if strings.HasPrefix(line, "@@") {
			heads = append(heads, line)
		}
	}
	want := []string{"@@ -3,11 +3,13 @@\n", "@@ -28,6 +30,7 @@\n"}
	if diff := cmp.Diff(want, heads); diff != "" {
		t.Error(diff)
	}
}
