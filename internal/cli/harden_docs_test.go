package cli

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/console"
)

// TestHardenPage: the examples of docs/harden.md are what the verb prints.
func TestHardenPage(t *testing.T) {
	t.Chdir("../..")
	page, err := os.ReadFile("docs/harden.md")
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := Main(t.Context(), []string{"harden", "examples/llm-stack"}, console.Streams{In: strings.NewReader(""), Out: &out, Err: &errs}); code != 0 {
		t.Fatalf("code %d\n%s", code, errs.String())
	}
	shown := 0
	for _, diff := range strings.Split(out.String(), "\n--- ") {
		if strings.Contains(string(page), "```diff\n--- "+strings.TrimSpace(strings.TrimPrefix(diff, "--- "))+"\n```") {
			shown++
		}
	}
	if shown != 4 || strings.Count(string(page), "```diff") != 4 {
		t.Errorf("%d of the page's examples are what is printed now:\n%s", shown, out.String())
	}
}
