//go:build linux

package bench

import (
	"os"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/engine/gvisor"
	"github.com/bulkhead-dev/bulkhead/image"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
)

// TestMemoryBelow: the guest's own memory is part of the figure, once. It stands in
// processes without a name, several to an address space.
func TestMemoryBelow(t *testing.T) {
	root, err := image.Toolchain(t.Context(), t.TempDir(), testbin.Path(t, "bulkhead-guest"))
	if err != nil {
		t.Fatal(err)
	}
	engine := gvisor.New(gvisor.Config{Supervisor: testbin.Path(t, "bulkhead-runsc"), StateDir: t.TempDir()})
	_, client := bootGuest(t, engine, root, "memory")
	before, err := memoryBelow(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	const held = 64 << 20
	hold := "import time; x = bytearray(64 << 20); x[::4096] = b'x' * (len(x) // 4096); time.sleep(600)"
	if _, err := client.Start(t.Context(), agent.Command{Args: []string{"/usr/bin/python3", "-c", hold}, Dir: "/"}); err != nil {
		t.Fatal(err)
	}
	var more int64
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline) && more < held; time.Sleep(100 * time.Millisecond) {
		after, err := memoryBelow(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		more = after.all - before.all
	}
	if more < held || more > held*3/2 {
		t.Errorf("a command that holds %d bytes takes %d more", held, more)
	}
}
