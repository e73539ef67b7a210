//go:build linux

package sandboxtest

import (
	"context"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/boundary"
)

// forkBomb: processes beyond the limit are refused, those below it are not, and
// the sandbox goes on.
func (s *suite) forkBomb(t *testing.T) {
	const most = 64
	spec := s.spec()
	spec.Limits.PIDs = most
	if os.Geteuid() != 0 && s.engine.Boundary() == boundary.SharedKernel {
		if box, err := s.engine.Boot(t.Context(), spec); err == nil {
			_ = box.Close(context.WithoutCancel(t.Context()))
			t.Error("a limit that does not hold was accepted")
		}
		return
	}
	c, _ := s.boot(t, spec)
	got := s.sh(t, c, `python3 -c '
import os, signal
children = []
try:
    for _ in range(1000):
        pid = os.fork()
        if pid == 0:
            signal.pause()
        children.append(pid)
except OSError:
    pass
for pid in children:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
print(len(children))'`)
	started, err := strconv.Atoi(strings.TrimSpace(got.stdout))
	if err != nil || started < most/4 || started >= most {
		t.Errorf("of 1000 processes %q were started (%v, stderr %q), the limit is %d", got.stdout, err, got.stderr, most)
	}
	if after := s.sh(t, c, "echo alive"); after.stdout != "alive\n" {
		t.Errorf("after the fork bomb: %+v", after)
	}
}
