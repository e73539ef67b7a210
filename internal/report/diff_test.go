package report_test

import (
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
