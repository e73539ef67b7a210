//go:build linux

package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/demo"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
)

// installDemo adds what only the demo needs, and a folder for temporary files
// that can be looked through afterwards.
func installDemo(t *testing.T, i installed) (tmp string) {
	t.Helper()
	testbin.Copy(t, testbin.Path(t, "bulkhead-hostile"), filepath.Join(i.bin, "bulkhead-hostile"))
	tmp = filepath.Join(i.home, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	if i.uid != 0 {
		if err := os.Chown(tmp, int(i.uid), int(i.uid)); err != nil {
			t.Fatal(err)
		}
	}
	return tmp
}

func assertEmpty(t *testing.T, dirs ...string) {
	t.Helper()
	for _, dir := range dirs {
		left, err := os.ReadDir(dir)
		if err != nil {
			t.Error(err)
		}
		if len(left) > 0 {
			t.Errorf("left behind in %s: %v", dir, left)
		}
	}
}

// TestDemo: real engines, real attempts. Behind gVisor none reaches the host;
// under runc, the same ones do.
func TestDemo(t *testing.T) {
	users(t, func(t *testing.T, i installed) {
		tmp := installDemo(t, i)
		cmd := i.command("demo", "-o", "json")
		cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v: %s", err, stderr.String())
		}
		var r demo.Report
		if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
			t.Fatalf("%v: %s", err, stdout.String())
		}
		if stderr.Len() > 0 {
			t.Errorf("said on standard error: %s", stderr.String())
		}
		assertFound(t, r)
		root := os.Geteuid() == 0 && i.uid == 0
		assertControl(t, r, root)
		page, err := os.ReadFile(filepath.Join(i.home, "bulkhead-report.html"))
		if err != nil || !bytes.Contains(page, []byte("No attempt reached the host")) {
			t.Errorf("the HTML report: %v, %d bytes", err, len(page))
		}
		assertEmpty(t, tmp)
	})
}

// assertFound holds the demo to what the example is made for, and to the boundary.
func assertFound(t *testing.T, r demo.Report) {
	t.Helper()
	if r.Check.Summary.ByClass["code-execution"] != 1 || r.Workload != "Pod/code-interpreter" {
		t.Errorf("the check found %v, and ran %s", r.Check.Summary.ByClass, r.Workload)
	}
	if !strings.Contains(r.Refusal.Message, "needs virtual-machine") || r.Refusal.Next == "" {
		t.Errorf("the default route answered %q", r.Refusal)
	}
	if !strings.Contains(r.Waiver, "below the default route, waived by platform-team until 2031-12-31 (SEC-142)") {
		t.Errorf("the waiver says %q", r.Waiver)
	}
	if r.Sandbox.Engine != "gvisor" || len(r.Sandbox.Results) != len(demo.Attempts()) || len(r.Sandbox.Ignored) > 0 {
		t.Errorf("%s made %d attempts, ignored %q", r.Sandbox.Engine, len(r.Sandbox.Results), r.Sandbox.Ignored)
	}
	for _, res := range r.Sandbox.Results {
		if res.Outcome == demo.Reached || res.Outcome == demo.NotRun {
			t.Errorf("behind gVisor: %s: %s (%s)", res.Attempt, res.Outcome, res.Detail)
		}
	}
}

// assertControl: what the boundary changes, and not only by the lack of a network.
func assertControl(t *testing.T, r demo.Report, root bool) {
	t.Helper()
	if !root {
		if !strings.Contains(r.Control.NotRun, "needs root") || len(r.Differing) > 0 || r.Control.Count(demo.NotRun) != len(demo.Attempts()) {
			t.Errorf("without root the control is %q, and %v differ", r.Control.NotRun, r.Differing)
		}
		return
	}
	if _, err := exec.LookPath("runc"); err != nil {
		if !strings.Contains(r.Control.NotRun, "no runc") {
			t.Errorf("without runc the control is %q", r.Control.NotRun)
		}
		t.Skip("runc is not installed (`make test` installs it as root): there is no control to compare with")
	}
	t.Logf("reached under runc: %v; differing: %v", r.Control.With(demo.Reached), r.Differing)
	if len(r.Differing) < 4 {
		t.Errorf("only %d outcomes differ between runc and gVisor: %v", len(r.Differing), r.Differing)
	}
	for _, id := range []string{"boot-id", "kernel", "metadata", "dns", "raw-socket"} {
		if !slices.Contains(r.Control.With(demo.Reached), id) {
			t.Errorf("%s does not reach the host under runc: the control controls nothing", id)
		}
	}
}

// TestDemoInterrupted: an interrupt at any time leaves nothing behind.
func TestDemoInterrupted(t *testing.T) {
	users(t, func(t *testing.T, i installed) {
		tmp := installDemo(t, i)
		for _, at := range []string{"What are these workloads", "By the waiver", "gvisor (user-kernel"} {
			cmd := i.command("demo", "--report", "")
			cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for lines := bufio.NewScanner(out); lines.Scan() && !strings.Contains(lines.Text(), at); {
			}
			_ = cmd.Process.Signal(syscall.SIGINT)
			_, _ = io.Copy(io.Discard, out)
			// It may have come to its end before the signal came to it.
			if code := exitCode(t, cmd.Wait()); code != 130 && code != 0 {
				t.Errorf("interrupted at %q: code %d", at, code)
			}
			assertEmpty(t, tmp)
		}
		if state := filepath.Join(i.home, "bulkhead"); i.uid != 0 {
			assertEmpty(t, state)
		}
	})
}

// TestDemoFinds: a program that reaches the host, and one that says nothing,
// are no success. Another program stands in the place of the hostile one.
func TestDemoFinds(t *testing.T) {
	for _, tt := range []struct {
		name, script, say string
		code              int
	}{
		{"silent", "exit 0", "nothing is known about host-file", 125},
		{"a socket of a runtime", `echo '{"id":"docker-sock","ok":true,"saw":"/var/run/docker.sock"}'`, "the host was reached from behind gvisor: docker-sock", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := install(t, 0)
			tmp := installDemo(t, i)
			if err := os.WriteFile(filepath.Join(i.bin, "bulkhead-hostile"), []byte("#!/bin/sh\n"+tt.script+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := i.command("demo", "--report", "")
			cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			if code := exitCode(t, cmd.Run()); code != tt.code || !strings.Contains(stderr.String(), tt.say) {
				t.Errorf("code %d, want %d: %s", code, tt.code, stderr.String())
			}
			assertEmpty(t, tmp)
		})
	}
}
