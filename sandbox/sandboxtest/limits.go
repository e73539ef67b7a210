//go:build linux

package sandboxtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// needLimits skips the test where the engine says that it cannot hold the limits
// of spec. Then it has to refuse the boot, and leave nothing.
func (s *suite) needLimits(t *testing.T, spec sandbox.Spec) {
	t.Helper()
	unheld := s.engine.Unheld(spec.Limits)
	if len(unheld) == 0 {
		return
	}
	if os.Geteuid() == 0 {
		t.Fatalf("root cannot have %+v here: %v", spec.Limits, unheld[0].Err)
	}
	box, err := s.engine.Boot(t.Context(), spec)
	if err == nil {
		_ = box.Close(context.WithoutCancel(t.Context()))
	}
	if !errors.Is(err, sandbox.ErrLimit) {
		t.Errorf("a limit that does not hold was answered with %v", err)
	}
	s.assertGone(t, spec.ID)
	t.Skipf("%v", unheld[0].Err)
}

// fork starts processes until no more can be had. It prints their number, and
// they wait as long as the first one lives.
const fork = `
import os, sys
wait, alive = os.pipe()
started = 0
try:
    while started < 1000:
        if os.fork() == 0:
            os.close(alive)
            os.read(wait, 1)
            os._exit(0)
        started += 1
except OSError:
    pass
print(started, flush=True)
sys.stdin.read()`

// forkBomb: processes beyond the limit are refused, those below it are not. As
// long as there are no more to be had, the guest agent still answers; then the
// sandbox goes on.
func (s *suite) forkBomb(t *testing.T) {
	const most = 64
	spec := s.spec()
	spec.Limits.PIDs = most
	s.needLimits(t, spec)
	c, _ := s.boot(t, spec)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	in, bang := io.Pipe()
	out, told := io.Pipe()
	p, err := c.Start(ctx, agent.Command{Args: []string{"python3", "-c", fork}, Stdin: in, Stdout: told, Stderr: told})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := p.Wait(ctx)
		_ = told.CloseWithError(errors.Join(io.EOF, err))
		ended <- err
	}()
	var started int
	if _, err := fmt.Fscan(out, &started); err != nil || started < most/4 || started >= most {
		t.Errorf("of 1000 processes %d were started (%v), the limit is %d", started, err, most)
	}
	for range 20 {
		if _, err := c.Identity(ctx); err != nil {
			t.Fatalf("the guest agent, beside a fork bomb: %v", err)
		}
		if other, err := c.Start(ctx, agent.Command{Args: []string{"true"}}); err == nil {
			_, _ = other.Wait(ctx)
		} else if errors.Is(err, agent.ErrLost) {
			t.Fatalf("a command beside a fork bomb: %v", err)
		}
	}
	_ = bang.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(limit); ; {
		other, err := c.Start(ctx, agent.Command{Args: []string{"true"}})
		if err == nil {
			if exit, err := other.Wait(ctx); err == nil && exit.Code == 0 {
				return
			}
		}
		if errors.Is(err, agent.ErrLost) || time.Now().After(deadline) {
			t.Fatalf("a command after the fork bomb: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// memoryBomb: who takes more memory than there is in the sandbox is killed, by
// itself or with the sandbox, and it is said why.
func (s *suite) memoryBomb(t *testing.T) {
	for name, script := range map[string]string{
		"processes":        `python3 -c 'x = [bytearray(b"x") * (1 << 20) for _ in range(1000)]'`,
		"folder in memory": `cat /dev/zero >/tmp/zeros`,
	} {
		t.Run(name, func(t *testing.T) {
			spec := s.spec()
			spec.Tmpfs[0].SizeBytes = 1 << 30
			spec.Limits.MemoryBytes = 64 << 20
			s.needLimits(t, spec)
			c, box := s.boot(t, spec)
			code, err := s.bomb(t, c, script)
			if err == nil {
				counter, ok := box.(sandbox.OOMCounter)
				if code != 137 || !ok || counter.OOMKills() == 0 {
					t.Fatalf("the bomb ended with code %d, and the sandbox does not say for memory", code)
				}
				if name == "processes" { // the files of the others still take all there is
					if after := s.sh(t, c, "echo alive"); after.stdout != "alive\n" {
						t.Errorf("after the bomb: %+v", after)
					}
				}
				return
			}
			select {
			case <-box.Done():
			case <-time.After(limit):
				t.Fatalf("the stream is lost (%v), and the sandbox goes on", err)
			}
			if !errors.Is(box.Err(), sandbox.ErrMemory) {
				t.Errorf("the sandbox ended with %v, want %v", box.Err(), sandbox.ErrMemory)
			}
		})
	}
}

// bomb returns how a command ended that may take the sandbox with it.
func (s *suite) bomb(t *testing.T, c *agent.Client, script string) (code int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	p, err := c.Start(ctx, agent.Command{Args: []string{"sh", "-c", "exec " + script}, Stdout: io.Discard, Stderr: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	exit, err := p.Wait(ctx)
	if ctx.Err() != nil {
		t.Fatal("the bomb was not stopped")
	}
	return exit.Code, err
}

// cpus: who wants more time than the sandbox has is held up by the kernel.
func (s *suite) cpus(t *testing.T) {
	spec := s.spec()
	spec.Limits.MilliCPUs = 200
	s.needLimits(t, spec)
	c, _ := s.boot(t, spec)
	before, _ := cpuStat(t, spec.ID, "nr_throttled")
	if got := s.sh(t, c, "timeout 1 sh -c 'while :; do :; done'"); got.code != 124 {
		t.Fatalf("%+v", got)
	}
	after, ok := cpuStat(t, spec.ID, "nr_throttled")
	if !ok || after-before < 5 {
		t.Errorf("in a second of work the sandbox was held up %d times, want at least 5", after-before)
	}
}

// cpuStat returns a number of the cgroup's cpu.stat, which has the same form
// with cgroup v1 and v2.
func cpuStat(t *testing.T, id, key string) (int, bool) {
	t.Helper()
	for _, dir := range groups(id) {
		text, err := os.ReadFile(filepath.Join(dir, "cpu.stat"))
		if err != nil {
			continue // a group of another controller
		}
		for line := range strings.Lines(string(text)) {
			if name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name == key {
				n, err := strconv.Atoi(value)
				if err != nil {
					t.Fatal(err)
				}
				return n, true
			}
		}
	}
	return 0, false
}
