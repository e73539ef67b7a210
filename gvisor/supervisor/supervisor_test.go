package supervisor

import "testing"

// TestWarm: gVisor's state of a container, without one, is something to encode.
func TestWarm(t *testing.T) {
	if err := warm(); err != nil {
		t.Error(err)
	}
}
