//go:build linux

package bench

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/engine/gvisor"
	"github.com/bulkhead-dev/bulkhead/image"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

const (
	// stoppedGuests are stopped while another one is asked to work.
	stoppedGuests = 10
	// maxSlowdown is how much longer its commands may take, p95.
	maxSlowdown = 1.5
	// stoppedTries is how often it is measured: a busy machine can spoil one
	// try, a guest that waits for another one spoils all.
	stoppedTries = 6
)

// TestStoppedGuests: ten guests that are stopped, each with a command whose
// output nobody takes, one that never starts and input that it does not read,
// do not slow an eleventh. Closing them works all the same.
func TestStoppedGuests(t *testing.T) {
	root, err := image.Toolchain(t.Context(), t.TempDir(), testbin.Path(t, "bulkhead-guest"))
	if err != nil {
		t.Fatal(err)
	}
	engine := gvisor.New(gvisor.Config{Supervisor: testbin.Path(t, "bulkhead-runsc"), StateDir: t.TempDir()})
	if err := engine.Probe(t.Context()); err != nil {
		t.Skip(err)
	}
	_, client := bootGuest(t, engine, root, "eleventh")
	execs(t, client, 10) // what comes first is slower
	var ratio float64
	for range stoppedTries {
		alone := execs(t, client, 40)
		var stopped []sandbox.Sandbox
		for n := range stoppedGuests {
			stopped = append(stopped, stopGuest(t, engine, root, fmt.Sprintf("stopped-%d", n)))
		}
		beside := execs(t, client, 80)
		for _, s := range stopped {
			if err := s.Close(t.Context()); err != nil {
				t.Errorf("closing a stopped sandbox: %v", err)
			}
		}
		alone.Samples = append(alone.Samples, execs(t, client, 40).Samples...) // on both sides: machines drift
		ratio = float64(beside.Quantile(0.95)) / float64(alone.Quantile(0.95))
		t.Logf("exec alone: p50 %s, p95 %s; beside %d stopped guests: p50 %s, p95 %s; p95 %.2f of alone", ms(alone.Quantile(0.5)), ms(alone.Quantile(0.95)),
			stoppedGuests, ms(beside.Quantile(0.5)), ms(beside.Quantile(0.95)), ratio)
		if ratio <= maxSlowdown {
			return
		}
	}
	t.Errorf("p95 is %.2f of alone, at most %.1f is allowed", ratio, maxSlowdown)
}

// bootGuest boots a sandbox for as long as the test runs, and returns it once its
// guest agent answered.
func bootGuest(t testing.TB, engine sandbox.Engine, root sandbox.Root, id string) (sandbox.Sandbox, *agent.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := engine.Boot(ctx, sandbox.Spec{ID: id, Root: root, Agent: []string{image.AgentPath}, User: image.User()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	client, err := agent.NewClient(s.Stream())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Identity(ctx); err != nil {
		t.Fatal(err)
	}
	return s, client
}

// stopGuest boots a sandbox, keeps it busy and stops its kernel.
func stopGuest(t *testing.T, engine sandbox.Engine, root sandbox.Root, id string) sandbox.Sandbox {
	t.Helper()
	s, client := bootGuest(t, engine, root, id)
	ctx, cancel := context.WithCancel(context.Background())
	taken := make(chan struct{})
	t.Cleanup(func() { cancel(); close(taken) })
	yes, err := client.Start(ctx, agent.Command{Args: []string{"/usr/bin/yes"}, Dir: "/", Stdout: heldWriter{taken}, Stdin: zeros{}})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = yes.Wait(ctx) }()
	stopped := 0
	for _, pid := range descendants(os.Getpid()) {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil || !strings.HasPrefix(string(line), "runsc-sandbox\x00") || !strings.Contains(string(line), "-"+id+"/") {
			continue
		}
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		stopped++
	}
	if stopped != 1 {
		t.Fatalf("%d kernels of sandbox %s were stopped", stopped, id)
	}
	go func() { _, _ = client.Start(ctx, agent.Command{Args: []string{"/usr/bin/true"}, Dir: "/"}) }()
	return s
}

func execs(t *testing.T, c *agent.Client, n int) Series {
	t.Helper()
	var s Series
	for range n {
		took, err := execOnce(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		s.Samples = append(s.Samples, took)
	}
	return s
}

// heldWriter takes nothing before taken is closed.
type heldWriter struct{ taken <-chan struct{} }

func (w heldWriter) Write(p []byte) (int, error) {
	<-w.taken
	return len(p), nil
}

// zeros are input without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
