package metadata_test

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/metadata"
)

func TestIsHost(t *testing.T) {
	for host, want := range map[string]bool{
		"169.254.169.254": true, "::ffff:169.254.169.254": true, "fd20:ce::254": true, "fd00:ec2:0::254%eth0": true, "100.100.100.200": true,
		"metadata.google.internal": true, "Metadata.Google.Internal.": true, "metadata.goog": true,
		"169.254.20.10": false, "10.0.0.1": false, "metadata": false, "example.com": false, "": false,
	} {
		if got := metadata.IsHost(host); got != want {
			t.Errorf("%q: %v, want %v", host, got, want)
		}
	}
}
