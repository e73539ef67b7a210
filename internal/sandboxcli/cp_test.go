//go:build linux

package sandboxcli

import "testing"

func TestQuantity(t *testing.T) {
	for text, want := range map[string]int64{"500Mi": 500 << 20, "1Ki": 1 << 10, "10Gi": 10 << 30, "2M": 2_000_000, "123": 123, "0": 0} {
		if got, err := quantity(text); err != nil || got != want {
			t.Errorf("%q is %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "i", "many", "-1", "1Xi", "1MiB"} {
		if got, err := quantity(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}
