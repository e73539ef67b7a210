//go:build linux

package cli

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/testbin"
	"github.com/bulkhead-dev/bulkhead/sandbox/sandboxtest"
)

// unprivileged is a user that the machine has no name and no rights for.
const unprivileged = 12345

// installed is a copy of the binaries that any user may execute, and a home.
type installed struct {
	bin, home string
	uid       uint32 // 0: this process's own
}

func install(t *testing.T, uid uint32) installed {
	t.Helper()
	// t.TempDir is below a folder of this user's alone.
	dir, err := os.MkdirTemp("", "bulkhead-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	i := installed{bin: filepath.Join(dir, "bin"), home: filepath.Join(dir, "home"), uid: uid}
	for _, d := range []string{dir, i.bin, i.home} {
		if err := errors.Join(os.MkdirAll(d, 0o755), os.Chmod(d, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	if uid != 0 {
		if err := os.Chown(i.home, int(uid), int(uid)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bulkhead", "bulkhead-decide", "bulkhead-runsc", "bulkhead-guest"} {
		testbin.Copy(t, testbin.Path(t, name), filepath.Join(i.bin, name))
	}
	return i
}

func (i installed) command(args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(i.bin, "bulkhead"), args...)
	cmd.Dir = i.home
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + i.home, "XDG_RUNTIME_DIR=" + i.home}
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if i.uid != 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: i.uid, Gid: i.uid}
	}
	return cmd
}

// users runs a test as the user of the test process and, when that is root, as
// one without any rights too.
func users(t *testing.T, test func(t *testing.T, i installed)) {
	t.Run("caller", func(t *testing.T) { test(t, install(t, 0)) })
	t.Run("unprivileged", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("becoming another user needs root; the caller's run was unprivileged")
		}
		test(t, install(t, unprivileged))
	})
}

func TestRunAsUser(t *testing.T) {
	users(t, func(t *testing.T, i installed) {
		for _, tt := range []struct {
			args []string
			want string
			code int
		}{
			{[]string{"run", "--", "sh", "-c", "uname -r; id -u; echo err >&2; exit 5"}, "4.19.0-gvisor\n65532\n", 5},
			{[]string{"run", "--", "sh", "-c", "touch ~/x /tmp/x && echo ok"}, "ok\n", 0},
			{[]string{"run", "--", "sh", "-c", "cat /etc/shadow 2>/dev/null || echo none"}, "none\n", 0},
		} {
			out, err := i.command(tt.args...).Output()
			if code := exitCode(t, err); code != tt.code || string(out) != tt.want {
				t.Errorf("%v: code %d, output %q (%v)", tt.args, code, out, err)
			}
		}
	})
}

func exitCode(t *testing.T, err error) int {
	t.Helper()
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		t.Fatal(err)
	}
	return exit.ExitCode()
}

// TestRunEnds: however a run ends, nothing of its sandbox is left.
func TestRunEnds(t *testing.T) {
	users(t, func(t *testing.T, i installed) {
		for _, tt := range []struct {
			name, script string
			signals      []syscall.Signal
			code         int // -1: killed
		}{
			{"interrupt", "echo ready; exec sleep 60", []syscall.Signal{syscall.SIGINT}, 130},
			{"terminate", "echo ready; exec sleep 60", []syscall.Signal{syscall.SIGTERM}, 143},
			{"handled", "trap 'exit 3' INT; echo ready; while :; do sleep 0.05; done", []syscall.Signal{syscall.SIGINT}, 3},
			{"ignored", "trap '' INT; echo ready; while :; do sleep 0.05; done", []syscall.Signal{syscall.SIGINT, syscall.SIGINT, syscall.SIGINT}, 130},
			{"killed", "echo ready; while :; do sleep 0.05; done", []syscall.Signal{syscall.SIGKILL}, -1},
		} {
			t.Run(tt.name, func(t *testing.T) {
				id, err := i.interrupt(t, tt.script, tt.signals)
				if code := exitCode(t, err); code != tt.code {
					t.Errorf("code %d, want %d", code, tt.code)
				}
				assertGone(t, id)
			})
		}
		t.Run("supervisor killed", func(t *testing.T) {
			cmd := i.command("run", "--", "sh", "-c", "echo ready; exec sleep 60")
			id, supervisor := startReady(t, cmd)
			if err := syscall.Kill(supervisor, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if code := exitCode(t, cmd.Wait()); code != 125 {
				t.Errorf("code %d, want 125", code)
			}
			assertGone(t, id)
		})
	})
}

// interrupt starts a run, sends the signals once the command is up, and
// returns the sandbox's id and how the run ended.
func (i installed) interrupt(t *testing.T, script string, signals []syscall.Signal) (string, error) {
	t.Helper()
	cmd := i.command("run", "--", "sh", "-c", script)
	id, _ := startReady(t, cmd)
	for _, s := range signals {
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) // signals of one kind merge when they come at once
	}
	ended := make(chan struct{})
	defer close(ended)
	go func() { // on a busy machine they merge all the same: then some are missing
		for {
			select {
			case <-ended:
				return
			case <-time.After(5 * time.Second):
				_ = cmd.Process.Signal(signals[len(signals)-1])
			}
		}
	}()
	return id, cmd.Wait()
}

// startReady starts cmd, waits until its command printed a line, and returns
// the sandbox's id and the supervisor's pid.
func startReady(t *testing.T, cmd *exec.Cmd) (id string, supervisor int) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the command printed %q (%v)", line, err)
	}
	children, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range children {
		b, _ := os.ReadFile(c)
		for pid := range strings.FieldsSeq(string(b)) {
			line, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			args := strings.Split(string(line), "\x00")
			for n, a := range args {
				if a == "--id" {
					_, _ = fmt.Sscan(pid, &supervisor)
					return args[n+1], supervisor
				}
			}
		}
	}
	t.Fatal("the run has no supervisor")
	return "", 0
}

func assertGone(t *testing.T, id string) {
	t.Helper()
	var left []string
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		left = sandboxtest.Traces(id)
		for _, pattern := range []string{"/run/bulkhead/*" + id + "*", filepath.Join(os.TempDir(), "bulkhead-*", "*"+id+"*"), filepath.Join(os.TempDir(), "bulkhead-test-*", "home", "bulkhead", "*"+id+"*")} {
			folders, _ := filepath.Glob(pattern)
			left = append(left, folders...)
		}
		if len(left) == 0 {
			return
		}
	}
	t.Errorf("left behind by sandbox %s: %v", id, left)
}
