//go:build linux

package sandboxtest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// contained: no network device, nothing of the host's environment, files or
// processes, nothing to write but what is given, no privilege.
func (s *suite) contained(t *testing.T) {
	t.Setenv("BULKHEAD_TEST_SECRET", "of-the-host")
	c, _ := s.boot(t, s.spec())
	for _, tt := range []struct{ what, script, want string }{
		{"environment", "env | grep -c of-the-host || true", "0"},
		{"environment of the agent", "cat /proc/1/environ | tr '\\0' '\\n' | grep -c of-the-host || true", "0"},
		{"network devices", "ls /sys/class/net 2>/dev/null | grep -v '^lo$' | wc -l; grep -c ':' /proc/net/dev | sed 's/^1$/0/'", "0\n0"},
		{"users of the host", "grep -vcE '^(root|user|nobody):' /etc/passwd || true", "0"},
		{"shadow", "test -e /etc/shadow && echo there || echo absent", "absent"},
		{"writing to /usr", "touch /usr/x 2>/dev/null && echo written || echo refused", "refused"},
		{"writing to /", "touch /x 2>/dev/null && echo written || echo refused", "refused"},
		{"writing to /tmp", "touch /tmp/x && echo written", "written"},
		{"writing to home", "touch ~/x && echo written", "written"},
		{"capabilities", "grep -E 'Cap(Prm|Eff|Bnd)' /proc/self/status | tr -d '\\t' | grep -vc ':0000000000000000' || true", "0"},
		{"first process", "tr '\\0' ' ' </proc/1/cmdline", "/.bulkhead/bulkhead-guest"},
		{"host name", "uname -n", "sandbox"},
	} {
		if got := s.sh(t, c, tt.script); strings.TrimSpace(got.stdout) != tt.want {
			t.Errorf("%s: %q (stderr %q), want %q", tt.what, got.stdout, got.stderr, tt.want)
		}
	}
}

func (s *suite) mounts(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	below := filepath.Join(dir, "below")
	if err := os.Mkdir(below, 0o777); err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := syscall.Mount("tmpfs", below, "tmpfs", 0, "mode=777,size=1m"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Unmount(below, syscall.MNT_DETACH) })
	}
	spec := s.spec()
	spec.Mounts = []sandbox.Mount{
		{Source: dir, Target: "/mnt"},
		{Source: dir, Target: "/work", Writable: true},
		{Source: filepath.Join(dir, "file"), Target: "/new/place/file"},
	}
	if os.Geteuid() != 0 {
		// The caller: no other user of the sandbox can own a file of the host.
		spec.User = sandbox.User{}
		for i := range spec.Tmpfs {
			spec.Tmpfs[i].User = spec.User
		}
	}
	c, _ := s.boot(t, spec)
	if got := s.sh(t, c, "touch /mnt/below/new 2>/dev/null && echo written"); got.stdout != "" {
		t.Errorf("a mount below a read-only mount: %+v", got)
	}
	if got := s.sh(t, c, "cat /new/place/file"); got.stdout != "content" {
		t.Errorf("a file at a place that was not there: %+v", got)
	}
	if got := s.sh(t, c, "cat /mnt/file; touch /mnt/new 2>/dev/null && echo written"); got.stdout != "content" {
		t.Errorf("read-only mount: %+v", got)
	}
	if got := s.sh(t, c, "echo new >/work/new"); got.code != 0 {
		t.Errorf("writable mount: %+v", got)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "new")); err != nil || string(b) != "new\n" {
		t.Errorf("written through the mount: %q, %v", b, err)
	}
}

// contents: files that are made for one sandbox, with their group and mode, and
// nothing of them is writable.
func (s *suite) contents(t *testing.T) {
	spec := s.spec()
	spec.Groups = []uint32{2000}
	spec.Contents = []sandbox.Content{
		{Target: "/etc/app/one", Files: []sandbox.File{{Mode: 0o644, Data: []byte("one")}}},
		{Target: "/keys", GID: 2000, Files: []sandbox.File{
			{Path: "a/group", Mode: 0o440, Data: []byte("two")},
			{Path: "root", Mode: 0o600, Data: []byte("three")},
		}},
	}
	c, _ := s.boot(t, spec)
	if got := s.sh(t, c, "cat /etc/app/one /keys/a/group"); got.stdout != "onetwo" {
		t.Errorf("files: %+v", got)
	}
	if got := s.sh(t, c, "{ echo x > /etc/app/one; echo x > /keys/new; chmod 777 /keys/root; } 2>/dev/null; cat /etc/app/one; ls /keys"); got.stdout != "onea\nroot\n" {
		t.Errorf("written: %+v", got)
	}
	// To an unprivileged caller's containers on the host's kernel, the caller is their user.
	if got := s.sh(t, c, "id -u; cat /keys/root 2>/dev/null"); got.stdout != "0\nthree" && got.stdout != "65532\n" {
		t.Errorf("a file of root's: %+v", got)
	}
}

func (s *suite) takenID(t *testing.T) {
	spec := s.spec()
	c, _ := s.boot(t, spec)
	if _, err := s.engine.Boot(t.Context(), spec); err == nil {
		t.Error("a second sandbox with the same id was booted")
	}
	if got := s.sh(t, c, "echo alive"); got.stdout != "alive\n" {
		t.Errorf("the first sandbox did not survive the second: %+v", got)
	}
	for _, id := range []string{"", "../x", "a/b", "-x", "A", strings.Repeat("a", 64)} {
		spec.ID = id
		if box, err := s.engine.Boot(t.Context(), spec); err == nil {
			_ = box.Close(t.Context())
			t.Errorf("id %q was taken", id)
		}
	}
}

// bootFails: a sandbox that cannot start is an error with a reason, and leaves nothing.
func (s *suite) bootFails(t *testing.T) {
	spec := s.spec()
	spec.Mounts = []sandbox.Mount{{Source: "/no/such/source", Target: "/mnt"}}
	box, err := s.engine.Boot(t.Context(), spec)
	if err == nil {
		_ = box.Close(t.Context())
		t.Fatal("booted with a mount that does not exist")
	}
	if !strings.Contains(err.Error(), "/no/such/source") {
		t.Errorf("the error does not name what is missing: %v", err)
	}
	s.assertGone(t, spec.ID)
}

func (s *suite) bootCanceled(t *testing.T) {
	for _, after := range []time.Duration{0, 5 * time.Millisecond, 30 * time.Millisecond} {
		spec := s.spec()
		ctx, cancel := context.WithTimeout(t.Context(), after)
		box, err := s.engine.Boot(ctx, spec)
		cancel()
		if err == nil {
			// It was faster than the cancellation: then it lives until Close.
			if err := box.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		s.assertGone(t, spec.ID)
	}
}

// agentKilled: code in the sandbox that ends the guest agent ends the sandbox
// and nothing else.
func (s *suite) agentKilled(t *testing.T) {
	c, box := s.boot(t, s.spec())
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if _, err := c.Identity(ctx); err != nil {
		t.Fatal(err)
	}
	_ = c.Close() // the agent ends with its stream
	select {
	case <-box.Done():
	case <-ctx.Done():
		t.Fatal("the sandbox goes on without its guest agent")
	}
	if _, err := c.Identity(ctx); err == nil {
		t.Error("a sandbox that ended still answers")
	}
}

func (s *suite) closeTwice(t *testing.T) {
	spec := s.spec()
	_, box := s.boot(t, spec)
	for range 2 {
		if err := box.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	if err := box.Err(); err != nil {
		t.Errorf("Err after Close: %v", err)
	}
}
