//go:build linux

package cli

import (
	"crypto/rand"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/keeper"
	"github.com/bulkhead-dev/bulkhead/internal/sandboxcli"
)

// must runs a verb and returns its output.
func (i installed) must(t *testing.T, args ...string) string {
	t.Helper()
	cmd := i.command(args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v: %s", args, err, stderr.String())
	}
	return string(out)
}

// entry is the sandbox as ps tells it.
func (i installed) entry(t *testing.T, name string) keeper.Entry {
	t.Helper()
	var entries []keeper.Entry
	if err := json.Unmarshal([]byte(i.must(t, "ps", "-a", "-o", "json")), &entries); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name == name {
			return e
		}
	}
	t.Fatalf("ps does not list %s: %+v", name, entries)
	return keeper.Entry{}
}

func (i installed) detach(t *testing.T, args ...string) string {
	t.Helper()
	name := "test-" + strings.ToLower(rand.Text()[:8])
	i.must(t, append([]string{"run", "--detach", "--name", name}, args...)...)
	t.Cleanup(func() { _ = i.command("rm", "-f", name).Run() })
	return name
}

// TestNamed: a sandbox goes on when the command that started it ended, is found
// again and shared by others, and leaves nothing when it is killed.
func TestNamed(t *testing.T) {
	users(t, func(t *testing.T, i installed) {
		name := i.detach(t, "-e", "GREETING=hello", "-w", "/tmp")
		e := i.entry(t, name)
		if e.Status != keeper.Running || e.Boundary.String() != "user-kernel" {
			t.Errorf("ps: %+v", e)
		}
		if got := i.must(t, "exec", name, "sh", "-c", "echo $GREETING > file; pwd"); got != "/tmp\n" {
			t.Errorf("exec: %q", got)
		}
		if got := i.must(t, "exec", "-e", "A=1", "-w", "/", name, "sh", "-c", "cat /tmp/file; echo $A; pwd"); got != "hello\n1\n/\n" {
			t.Errorf("another exec: %q", got)
		}
		cmd := i.command("exec", "-i", name, "tr", "a-z", "A-Z")
		cmd.Stdin = strings.NewReader("input")
		if out, err := cmd.Output(); string(out) != "INPUT" {
			t.Errorf("exec -i: %q, %v", out, err)
		}
		for code, args := range map[int][]string{7: {"sh", "-c", "exit 7"}, 137: {"sh", "-c", "kill -9 $$"}, 127: {"no-such-program"}, 126: {"/etc/passwd"}} {
			if got := exitCode(t, i.command(append([]string{"exec", name}, args...)...).Run()); got != code {
				t.Errorf("%v: code %d, want %d", args, got, code)
			}
		}
		copyBothWays(t, i, name)
		if got := exitCode(t, i.command("run", "--detach", "--name", name).Run()); got != 125 {
			t.Errorf("a taken name: code %d", got)
		}
		i.must(t, "kill", name)
		if e := i.entry(t, name); e.Status != keeper.Exited || e.ExitCode != 137 {
			t.Errorf("after kill: %+v", e)
		}
		i.must(t, "rm", name)
		assertGone(t, e.ID)
	})
}

// copyBothWays: files and folders go in and come out as they were, and nothing
// that the sandbox says is written outside of the destination.
func copyBothWays(t *testing.T, i installed, name string) {
	t.Helper()
	i.must(t, "exec", name, "sh", "-c", "mkdir -p /tmp/out/sub; echo result > /tmp/out/sub/file; ln -s /etc/shadow /tmp/out/evil; ln -s sub/file /tmp/out/good; mkfifo /tmp/out/pipe")
	cmd := i.command("cp", name+":/tmp/out", "out")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil || strings.Count(stderr.String(), "left out: evil: a link that leads out") != 1 {
		t.Errorf("cp out: %v: %s", err, stderr.String())
	}
	if data, err := os.ReadFile(filepath.Join(i.home, "out", "good")); err != nil || string(data) != "result\n" {
		t.Errorf("copied out: %q, %v", data, err)
	}
	if _, err := os.Lstat(filepath.Join(i.home, "out", "evil")); err == nil {
		t.Error("a link that leads out is there")
	}
	i.must(t, "cp", "out", name+":/tmp")
	i.must(t, "cp", "out/sub/file", name+":/tmp/renamed")
	if got := i.must(t, "exec", name, "sh", "-c", "cat /tmp/out/good /tmp/renamed"); got != "result\nresult\n" {
		t.Errorf("copied in: %q", got)
	}
	i.must(t, "exec", name, "sh", "-c", "head -c 3000000 /dev/zero > /tmp/big")
	for _, args := range [][]string{{"cp", "--max-size", "1Mi", name + ":/tmp/big", "big"}, {"cp", name + ":/no/such", "x"}, {"cp", "no-such", name + ":/tmp"}, {"cp", "out", name + ":/etc/nope"}, {"cp", "a", "b"}} {
		if err := i.command(args...).Run(); err == nil {
			t.Errorf("%v went well", args)
		}
	}
}

// TestNamedCommand: a sandbox ends with its own command; its output and exit
// code are kept.
func TestNamedCommand(t *testing.T) {
	users(t, func(t *testing.T, i installed) {
		name := i.detach(t, "--", "sh", "-c", "trap 'echo caught; exit 4' TERM; echo ready; while :; do sleep 0.05; done")
		e := i.entry(t, name)
		follow := i.command("logs", "-f", name)
		pipe, err := follow.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := follow.Start(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 6)
		if _, err := pipe.Read(buf); err != nil || string(buf) != "ready\n" {
			t.Fatalf("logs -f: %q, %v", buf, err)
		}
		i.must(t, "kill", "-s", "TERM", name)
		rest := make([]byte, 64)
		n, _ := pipe.Read(rest)
		if err := follow.Wait(); err != nil || string(rest[:n]) != "caught\n" {
			t.Errorf("logs -f to its end: %q, %v", rest[:n], err)
		}
		if e := i.entry(t, name); e.Status != keeper.Exited || e.ExitCode != 4 {
			t.Errorf("after its command: %+v", e)
		}
		if got := i.must(t, "logs", name); got != "ready\ncaught\n" {
			t.Errorf("logs: %q", got)
		}
		assertGone(t, e.ID)
	})
}

// TestNamedCrash: when the keeper is killed, the sandbox goes with it; ps says
// so, and gc removes what is left.
func TestNamedCrash(t *testing.T) {
	users(t, func(t *testing.T, i installed) {
		name := i.detach(t, "--", "sleep", "600")
		e := i.entry(t, name)
		if err := syscall.Kill(keeperPID(t, i, name), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(10 * time.Second); i.entry(t, name).Status == keeper.Running && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
		}
		if got := i.entry(t, name); got.Status != keeper.Crashed {
			t.Errorf("after a crash: %+v", got)
		}
		if got := i.must(t, "ps"); !strings.Contains(got, "crashed") {
			t.Errorf("ps: %s", got)
		}
		if got := exitCode(t, i.command("exec", name, "true").Run()); got != 125 {
			t.Errorf("exec in a crashed sandbox: code %d", got)
		}
		if got := i.must(t, "gc"); !strings.Contains(got, name+"\n") {
			t.Errorf("gc: %q", got)
		}
		assertGone(t, e.ID)
	})
}

// TestNamedPrivate: nothing of a sandbox can be opened by another user.
func TestNamedPrivate(t *testing.T) {
	i := install(t, 0)
	name := i.detach(t)
	state, err := sandboxcli.StateDir()
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	err = filepath.WalkDir(filepath.Join(state, "named", name), func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		files++
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %s", path, info.Mode())
		}
		return nil
	})
	if err != nil || files < 5 {
		t.Errorf("%d files, %v", files, err)
	}
}

// named is the folder of a named sandbox.
func (i installed) named(name string) string {
	if i.uid == 0 && os.Geteuid() == 0 {
		return filepath.Join("/run/bulkhead/named", name)
	}
	return filepath.Join(i.home, "bulkhead", "named", name)
}

// keeperPID finds the process that holds the sandbox's lock.
func keeperPID(t *testing.T, i installed, name string) int {
	t.Helper()
	dir := i.named(name)
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && target == filepath.Join(dir, "lock") {
			pid := 0
			for _, c := range strings.Split(fd, "/")[2] {
				pid = pid*10 + int(c-'0')
			}
			return pid
		}
	}
	t.Fatalf("nobody holds the lock of %s", dir)
	return 0
}
