//go:build linux

// Package sandboxtest is the conformance suite that every engine passes: the
// same features, spoken over the same stream, behind every boundary.
package sandboxtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/image"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// limit bounds every wait of the suite.
const limit = 30 * time.Second

// Run holds an engine to the contract of package sandbox.
func Run(t *testing.T, newEngine func(t *testing.T, stateDir string) sandbox.Engine) {
	state := t.TempDir()
	s := &suite{state: state, engine: newEngine(t, state), root: toolchain(t)}
	if err := s.engine.Probe(t.Context()); err != nil {
		t.Skipf("engine %s: %v", s.engine.Name(), err)
	}
	t.Run("Boundary", s.boundary)
	t.Run("Exec", s.exec)
	t.Run("Stdin", s.stdin)
	t.Run("LargeOutput", s.largeOutput)
	t.Run("LateReader", s.lateReader)
	t.Run("Orphans", s.orphans)
	t.Run("Terminal", s.terminal)
	t.Run("Signal", s.signal)
	t.Run("Concurrent", s.concurrent)
	t.Run("StartErrors", s.startErrors)
	t.Run("Contained", s.contained)
	t.Run("ForkBomb", s.forkBomb)
	t.Run("MemoryBomb", s.memoryBomb)
	t.Run("CPUs", s.cpus)
	t.Run("Mounts", s.mounts)
	t.Run("Contents", s.contents)
	t.Run("Egress", s.egress)
	t.Run("Ports", s.ports)
	t.Run("TakenID", s.takenID)
	t.Run("BootFails", s.bootFails)
	t.Run("BootCanceled", s.bootCanceled)
	t.Run("AgentKilled", s.agentKilled)
	t.Run("CloseTwice", s.closeTwice)
	if e, ok := s.engine.(sandbox.PodEngine); ok {
		t.Run("Pod", func(t *testing.T) { s.pod(t, e) })
	}
}

type suite struct {
	state  string
	engine sandbox.Engine
	root   sandbox.Root
}

func toolchain(t *testing.T) sandbox.Root {
	t.Helper()
	root, err := image.Toolchain(t.Context(), t.TempDir(), testbin.Path(t, "bulkhead-guest"))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func (s *suite) spec() sandbox.Spec {
	return sandbox.Spec{
		ID:    "test-" + strings.ToLower(rand.Text()[:8]),
		Root:  s.root,
		Agent: []string{image.AgentPath},
		Env:   []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + image.HomePath},
		Tmpfs: []sandbox.Tmpfs{
			{Target: "/tmp", Mode: 0o1777, SizeBytes: 64 << 20},
			{Target: image.HomePath, Mode: 0o700, SizeBytes: 64 << 20, User: image.User()},
		},
		User:     image.User(),
		Hostname: "sandbox",
	}
}

// boot starts a sandbox, checks at the test's end that nothing of it is left,
// and returns a client of its guest agent.
func (s *suite) boot(t *testing.T, spec sandbox.Spec) (*agent.Client, sandbox.Sandbox) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	box, err := s.engine.Boot(ctx, spec)
	if err != nil {
		t.Fatalf("Boot: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := box.Close(ctx); err != nil {
			t.Errorf("Close: %v", err)
		}
		s.assertGone(t, spec.ID)
	})
	client, err := agent.NewClient(box.Stream())
	if err != nil {
		t.Fatal(err)
	}
	return client, box
}

// assertGone fails when a process, mount, cgroup or folder names the sandbox.
func (s *suite) assertGone(t *testing.T, id string) {
	t.Helper()
	if left := Traces(id); len(left) > 0 {
		t.Errorf("left behind by sandbox %s: %v", id, left)
	}
	entries, err := os.ReadDir(s.state)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name(), id) {
			t.Errorf("left behind by sandbox %s: folder %s", id, e.Name())
		}
	}
}

// Traces lists the processes, mounts and cgroups of this machine that name a
// sandbox.
func Traces(id string) []string {
	var found []string
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, p := range procs {
		pid := strings.Split(p, "/")[2]
		if pid == strconv.Itoa(os.Getpid()) {
			continue
		}
		if b, err := os.ReadFile(p); err == nil && bytes.Contains(b, []byte(id)) {
			found = append(found, "process "+pid+" "+strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	if b, err := os.ReadFile("/proc/self/mountinfo"); err == nil && bytes.Contains(b, []byte(id)) {
		found = append(found, "a mount")
	}
	return append(found, groups(id)...)
}

// groups lists the folders of the cgroups that name a sandbox, one a controller
// with cgroup v1.
func groups(id string) []string {
	var found []string
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(d.Name(), id) {
			found = append(found, path)
		}
		return nil // a group that ended meanwhile is none
	})
	return found
}

// result is how a command ended.
type result struct {
	stdout, stderr string
	code           int
}

func (s *suite) run(t *testing.T, c *agent.Client, cmd agent.Command) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	p, err := c.Start(ctx, cmd)
	if err != nil {
		t.Fatalf("Start %v: %v", cmd.Args, err)
	}
	exit, err := p.Wait(ctx)
	if err != nil {
		t.Fatalf("Wait %v: %v (stderr %q)", cmd.Args, err, stderr.String())
	}
	return result{stdout.String(), stderr.String(), exit.Code}
}

func (s *suite) sh(t *testing.T, c *agent.Client, script string) result {
	t.Helper()
	return s.run(t, c, agent.Command{Args: []string{"sh", "-c", script}})
}

// boundary checks the claim both ways: a guest behind its own kernel has
// another identity than the host, and a guest on the shared kernel has the
// same, so that the check is seen failing.
func (s *suite) boundary(t *testing.T) {
	c, _ := s.boot(t, s.spec())
	guest, err := c.Identity(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if guest.BootID == "" || guest.Kernel == "" {
		t.Fatalf("the guest has no identity: %+v", guest)
	}
	if err := runner.Verify(s.engine.Boundary(), guest); err != nil {
		t.Errorf("the engine's own boundary is refuted: %v", err)
	}
	err = runner.Verify(boundary.VirtualMachine, guest)
	if s.engine.Boundary() == boundary.SharedKernel {
		if !errors.Is(err, sandbox.ErrBoundary) {
			t.Errorf("a guest on this kernel passes for another one: %v", err)
		}
	} else if err != nil {
		t.Errorf("a guest on its own kernel is taken for one on this kernel: %v", err)
	}
}
