//go:build linux

package bench

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/testbin"
)

// maxGrowth is how much more memory the host's processes may take for a guest's
// output, however long it is.
const maxGrowth = 16 << 20

// TestOutputMemory: the memory of `bulkhead run` and of its supervisor does not
// grow with what a guest prints. BULKHEAD_OUTPUT_MIB says how much that is
// (`make bench-output`: 10 GiB).
func TestOutputMemory(t *testing.T) {
	mib := 128
	if text := os.Getenv("BULKHEAD_OUTPUT_MIB"); text != "" {
		var err error
		if mib, err = strconv.Atoi(text); err != nil || mib < 1 {
			t.Fatalf("BULKHEAD_OUTPUT_MIB=%s is no number of MiB", text)
		}
	}
	cmd := exec.CommandContext(t.Context(), testbin.Path(t, "bulkhead"), "run", "--", "head", "-c", fmt.Sprintf("%dM", mib), "/dev/zero")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	begin, total := time.Now(), int64(mib)<<20
	if _, err := io.CopyN(io.Discard, out, 1); err != nil {
		t.Fatal(err)
	}
	processes := map[string]int{"bulkhead": cmd.Process.Pid, "the supervisor": child(t, cmd.Process.Pid, "supervise")}
	before := map[string]int64{}
	for name, pid := range processes {
		// Peaks count from here on.
		if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0); err != nil {
			t.Fatal(err)
		}
		before[name] = memory(t, pid, "VmRSS")
	}
	// The last bytes stay in the pipe, so that nobody ends before it is looked at.
	if n, err := io.CopyN(io.Discard, out, total-2); err != nil {
		t.Fatalf("the output ended after %d bytes: %v", n+1, err)
	}
	took := time.Since(begin)
	for name, pid := range processes {
		grown := memory(t, pid, "VmHWM") - before[name]
		t.Logf("%s: %.1f MiB before, at most %.1f MiB more for %d MiB of output in %s", name, float64(before[name])/(1<<20), float64(grown)/(1<<20), mib, took.Round(time.Second/10))
		if grown > maxGrowth {
			t.Errorf("%s grew by %d bytes", name, grown)
		}
	}
	if n, err := io.Copy(io.Discard, out); err != nil || n != 1 {
		t.Errorf("%d bytes at the end, %v", n, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// child returns the child of pid that has arg among its arguments.
func child(t *testing.T, pid int, arg string) int {
	t.Helper()
	for _, c := range children(pid) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c))
		if err == nil && strings.Contains(string(line), "\x00"+arg+"\x00") {
			return c
		}
	}
	t.Fatalf("process %d has no child with argument %s", pid, arg)
	return 0
}

// memory returns a field of a process's status in bytes.
func memory(t *testing.T, pid int, field string) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if text, ok := strings.CutPrefix(line, field+":"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(text), "kB")), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatalf("process %d has no %s", pid, field)
	return 0
}
