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
