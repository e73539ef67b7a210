package cli

import (
	"strings"
	"testing"
)

func TestShortened(t *testing.T) {
	if text := strings.Repeat("ü", maxReason); shortened(text) != text {
		t.Error("a text of the greatest length is not as it was")
	}
	got := shortened("what " + strings.Repeat("ü", 100_000) + " why")
	if n := len([]rune(got)); n != maxReason+len(" ... ") || !strings.HasPrefix(got, "what ") || !strings.HasSuffix(got, " why") {
		t.Errorf("%d characters: %.20q", n, got)
	}
}

// TestRanOut has the words of Go's runtime, with and without cgo.
func TestRanOut(t *testing.T) {
	for text, want := range map[string]bool{
		"fatal error: runtime: out of memory\n":                                                                  true,
		"runtime: failed to create new OS thread (have 7 already; errno=11)\nfatal error: newosproc":             true,
		"runtime/cgo: pthread_create failed: Resource temporarily unavailable\nSIGABRT: abort":                   true,
		"bulkhead-kube: execution error at (broken/templates/a.yaml:1:3): say more than there is memory to hear": false,
	} {
		if got := ranOut(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}
