//go:build linux

package sandboxtest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// pod holds an engine whose sandboxes have several containers to what each has
// for itself and what they share.
func (s *suite) pod(t *testing.T, e sandbox.PodEngine) {
	spec := s.spec()
	box, err := e.BootPod(t.Context(), spec, sandbox.Pod{
		Containers: 4, Shared: []sandbox.Shared{{Name: "data", Mode: 0o777, SizeBytes: 1 << 20}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
		s.assertGone(t, spec.ID)
	})
	own, _ := s.join(t, box, "own", func(c *sandbox.Spec) {
		c.Env = append(c.Env, "TOKEN=of-own")
		c.Contents = []sandbox.Content{{Target: "/etc/token", Files: []sandbox.File{{Mode: 0o644, Data: []byte("secret")}}}}
	})
	other, ended := s.join(t, box, "other", func(c *sandbox.Spec) {
		c.User, c.Env = sandbox.User{UID: 1234, GID: 1234}, []string{"PATH=/usr/bin:/bin", "HOME=/tmp"}
	})

	if got := s.sh(t, own, "id -u; cat /etc/token; echo $TOKEN; echo x > /tmp/mine; echo hello > /data/file; chmod 666 /data/file; sleep 77 & exec 1>&-"); got.stdout != "65532\nsecretof-own\n" {
		t.Errorf("in the first container: %+v", got)
	}
	const look = "id -u; cat /etc/token /tmp/mine 2>/dev/null; cat /data/file; cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -e '^7[7]$' -e of-ow[n]; true"
	if got := s.sh(t, other, look); got.stdout != "1234\nhello\n" {
		t.Errorf("the second container sees of the first: %+v", got)
	}
	if got := s.sh(t, own, "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' | grep -e '^7[7]$' -e of-ow[n] | sort -u"); got.stdout != "77\nTOKEN=of-own\n" {
		t.Errorf("the first container sees of itself: %+v", got)
	}
	if got := s.sh(t, other, "head -c 2000000 /dev/zero > /data/much 2>/dev/null; rm /data/much; kill -9 -1; echo alive"); !strings.Contains(got.stdout, "alive") && got.code != 137 {
		t.Errorf("in the second container: %+v", got)
	}
	if got := s.sh(t, own, "echo $TOKEN; ls /data"); got.stdout != "of-own\nfile\n" {
		t.Errorf("the first container, when all processes of the second were killed: %+v", got)
	}
	s.refusedJoins(t, box)

	// The end of one is nobody else's.
	if err := ended.Close(t.Context()); err != nil {
		t.Fatalf("closing a container: %v", err)
	}
	if got := s.sh(t, own, "echo alive"); got.stdout != "alive\n" {
		t.Errorf("the first container, when the second was closed: %+v", got)
	}
	again, _ := s.join(t, box, "other", func(*sandbox.Spec) {})
	if got := s.sh(t, again, "ls /tmp; cat /data/file"); got.stdout != "hello\n" {
		t.Errorf("a container of a name that is free again: %+v", got)
	}
	last, killed := s.join(t, box, "last", func(*sandbox.Spec) {})
	if _, err := last.Identity(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := box.Join(t.Context(), s.container("more")); err == nil {
		t.Error("more containers joined than were announced")
	}
	if err := box.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	select {
	case <-killed.Done():
	case <-time.After(limit):
		t.Error("a container outlived its sandbox")
	}
	if err := killed.Close(t.Context()); err != nil {
		t.Errorf("closing a container of a sandbox that ended: %v", err)
	}
}

// refusedJoins: what cannot join leaves the sandbox as it is.
func (s *suite) refusedJoins(t *testing.T, box sandbox.PodSandbox) {
	for name, change := range map[string]func(*sandbox.Spec){
		"a name that is taken":   func(c *sandbox.Spec) { c.ID = "own" },
		"a name that is a path":  func(c *sandbox.Spec) { c.ID = "../own" },
		"the sandbox's own name": func(c *sandbox.Spec) { c.ID = box.ID() },
		"a limit of memory":      func(c *sandbox.Spec) { c.Limits.MemoryBytes = 1 << 30 },
		"a mount of nothing":     func(c *sandbox.Spec) { c.Mounts = []sandbox.Mount{{Source: "/nowhere", Target: "/mnt"}} },
	} {
		spec := s.container("refused")
		change(&spec)
		if c, err := box.Join(t.Context(), spec); err == nil {
			t.Errorf("%s was taken", name)
			_ = c.Close(t.Context())
		}
	}
}

// container is one that mounts the shared folder.
func (s *suite) container(name string) sandbox.Spec {
	spec := s.spec()
	spec.ID = name
	spec.Tmpfs = append(spec.Tmpfs, sandbox.Tmpfs{Target: "/data", Shared: "data"})
	return spec
}

func (s *suite) join(t *testing.T, box sandbox.PodSandbox, name string, change func(*sandbox.Spec)) (*agent.Client, sandbox.Sandbox) {
	t.Helper()
	spec := s.container(name)
	change(&spec)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	c, err := box.Join(ctx, spec)
	if err != nil {
		t.Fatalf("Join: %v", err)
	}
	client, err := agent.NewClient(c.Stream())
	if err != nil {
		t.Fatal(err)
	}
	return client, c
}
