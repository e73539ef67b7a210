//go:build linux

package cli

import (
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/keeper"
)

// kept is a pod whose containers have different images and users, and a Secret of
// one of them. It runs until somebody ends it.
const kept = `
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {token: s3cret}
---
apiVersion: v1
kind: Pod
metadata: {name: kept}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 20
  initContainers:
  - name: before
    image: oci:second
    command: [sh, -c, "echo begun > /data/init"]
    volumeMounts: [{name: data, mountPath: /data}]
  - name: helper
    image: oci:second
    restartPolicy: Always
    command: [sh, -c, "trap 'echo helped; exit 0' TERM; touch /data/up; while :; do sleep 0.05; done"]
    startupProbe: {exec: {command: [sh, -c, "test -e /data/up"]}, periodSeconds: 1}
    volumeMounts: [{name: data, mountPath: /data}]
  containers:
  - name: one
    image: oci:first
    workingDir: /data
    securityContext: {runAsUser: 1001}
    env: [{name: TOKEN, valueFrom: {secretKeyRef: {name: keys, key: token}}}]
    command: [sh, -c, "trap 'exit 5' TERM; echo up; while :; do sleep 0.05; done"]
    lifecycle: {preStop: {exec: {command: [sh, -c, "echo $TOKEN > /data/stopping"]}}}
    volumeMounts: [{name: data, mountPath: /data}]
  - name: two
    image: oci:second
    securityContext: {runAsUser: 1002}
    command: [sh, -c, "trap 'cat /shared/stopping; exit 0' TERM; echo up; while :; do sleep 0.05; done"]
    lifecycle: {preStop: {exec: {command: [sh, -c, "until grep -q . /shared/stopping; do sleep 0.02; done"]}}}
    volumeMounts: [{name: data, mountPath: /shared}]
  - {name: three, image: "oci:second", command: [sleep, "600"]}
  volumes: [{name: data, emptyDir: {}}]
`

// TestPodKept: behind gVisor a pod whose containers are apart is kept as any
// sandbox is, and each verb means one of its containers.
func TestPodKept(t *testing.T) {
	users(t, func(t *testing.T, i installed) {
		twoImages(t, i)
		name := keep(t, i, kept)
		for _, tt := range []struct {
			args      []string
			out, said string
			code      int
		}{
			{[]string{"exec", name, "sh", "-c", "cat /which; id -u; echo $TOKEN; pwd; cat init"}, "first\n1001\ns3cret\n/data\nbegun\n", "container one is taken, of before (init), helper (sidecar), one, two, three; -c names another", 0},
			{[]string{"exec", "-c", "two", "-w", "/shared", "-e", "A=b", name, "sh", "-c", "cat /which; id -u; echo $TOKEN$A; pwd; cat init; ls /data"}, "second\n1002\nb\n/shared\nbegun\n", "No such file", 1},
			{[]string{"exec", "--container", "two", name, "sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | grep -c -e 'exit [5]' -e s3cre[t]"}, "0\n", "", 1},
			{[]string{"exec", name, "-c", "two", "-w", "/shared", "--", "sh", "-c", "cat /which; pwd"}, "second\n/shared\n", "", 0},
			{[]string{"exec", name, "--container=two", "sh", "-c", "cat /which"}, "second\n", "", 0},
			{[]string{"exec", name, "--no-such", "true"}, "", "unknown flag: --no-such", 125},
			{[]string{"exec", "-c", "helper", name, "sh", "-c", "cat /which; exit 7"}, "second\n", "", 7},
			{[]string{"exec", "-c", "before", name, "true"}, "", "container before of sandbox " + name + " is not running: it ended", 125},
			{[]string{"exec", "-c", "nobody", name, "true"}, "", "next: it has before (init), helper (sidecar), one, two, three", 125},
			{[]string{"cp", "-c", "two", "pod.yaml", name + ":/tmp/copied"}, "", "", 0},
			{[]string{"exec", "-c", "two", name, "grep", "name: kept", "/tmp/copied"}, "metadata: {name: kept}\n", "", 0},
			{[]string{"exec", "-c", "one", name, "ls", "/tmp"}, "", "", 0},
			{[]string{"cp", "--container=two", name + ":/tmp/copied", "back"}, "", "", 0},
			{[]string{"cp", "-c", "nobody", "pod.yaml", name + ":/tmp"}, "", "next: it has before (init)", 2},
			{[]string{"logs", "-c", "one", name}, "up\n", "container before: the root file system is read-only", 0},
			{[]string{"logs", "-c", "nobody", name}, "", "next: it has before (init)", 2},
			{[]string{"logs", "--all-containers=false", name}, "up\n", "", 0},
			{[]string{"logs", "-c", "one", "--all-containers", name}, "", "[all-containers container]", 2},
			{[]string{"kill", "-c", "before", name}, "", "signalling container before of sandbox " + name + ": its command does not run", 2},
			{[]string{"kill", "-c", "nobody", name}, "", "next: it has before (init)", 2},
		} {
			out, said, code := i.run(t, tt.args...)
			if code != tt.code || out != tt.out || !strings.Contains(said, tt.said) {
				t.Errorf("%q: code %d, output %q, said %q; want %d, %q, %q", tt.args, code, out, said, tt.code, tt.out, tt.said)
			}
		}
		if back, err := os.ReadFile(filepath.Join(i.home, "back")); err != nil || string(back) != kept {
			t.Errorf("copied out of two: %q, %v", back, err)
		}
		e := i.entry(t, name)
		var status []string
		for _, c := range e.Containers {
			status = append(status, c.Name+" "+string(c.Status))
		}
		if got := strings.Join(status, ", "); got != "before ended, helper running, one running, two running, three running" {
			t.Errorf("ps: %s", got)
		}
		if got := i.must(t, "ps"); !strings.Contains(got, "pod of before (init), helper (sidecar)") {
			t.Errorf("ps: %s", got)
		}
		killContainer(t, i, name)
		// It ends in order: hooks, the containers, the sidecar.
		i.must(t, "kill", "-s", "TERM", name)
		i.awaitEnd(t, name)
		if e := i.entry(t, name); e.Status != keeper.Exited || e.ExitCode != 5 {
			t.Errorf("after its end: %+v", e)
		}
		if got := i.must(t, "logs", name); !strings.HasSuffix(got, "[two] s3cret\n[helper] helped\n") {
			t.Errorf("logs: %q", got)
		}
		assertGone(t, e.ID)
	})
}

// killContainer: a container ends with its command, and commands of others with
// it. The other containers go on.
func killContainer(t *testing.T, i installed, name string) {
	t.Helper()
	cmd := i.command("exec", "-c", "three", name, "sh", "-c", "echo up; exec sleep 600")
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	up := make([]byte, 3)
	if _, err := io.ReadFull(out, up); err != nil {
		t.Fatal(err)
	}
	i.must(t, "kill", "-c", "three", name)
	if code := exitCode(t, cmd.Wait()); code != 125 || !strings.Contains(said.String(), "container three of sandbox "+name+" ended") {
		t.Errorf("exec in a container that ends: code %d, said %q", code, said.String())
	}
	if _, said, code := i.run(t, "exec", "-c", "three", name, "true"); code != 125 || !strings.Contains(said, "container three of sandbox "+name+" is not running: it ended") {
		t.Errorf("exec in a container that ended: code %d, said %q", code, said)
	}
	i.must(t, "exec", "-c", "two", name, "true")
}

// TestPodKeptCrash: whenever the keeper is killed, all containers go with it.
func TestPodKeptCrash(t *testing.T) {
	users(t, func(t *testing.T, i installed) {
		// Different users: each container has a root file system of its own.
		const pods = `
apiVersion: v1
kind: Pod
metadata: {name: crash}
spec:
  restartPolicy: Never
  initContainers: [{name: before, image: x, securityContext: {runAsUser: 1000}, command: [sh, -c, "BEFORE"]}]
  containers:
  - {name: one, image: x, securityContext: {runAsUser: 1001}, command: [sleep, "600"]}
  - {name: two, image: x, securityContext: {runAsUser: 1002}, command: [sleep, "600"]}
`
		for _, tt := range []struct{ before, running string }{{"sleep 600", "before"}, {"true", "two"}} {
			name := keep(t, i, strings.ReplaceAll(pods, "BEFORE", tt.before), "--image", "host")
			i.must(t, "exec", "-c", tt.running, name, "true") // it waits until that one runs
			e := i.entry(t, name)
			if err := syscall.Kill(keeperPID(t, i, name), syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			i.awaitEnd(t, name)
			if got := i.entry(t, name); got.Status != keeper.Crashed {
				t.Errorf("after a crash: %+v", got)
			}
			if got := i.must(t, "gc"); !strings.Contains(got, name+"\n") {
				t.Errorf("gc: %q", got)
			}
			assertGone(t, e.ID)
		}
		// Before the sandbox is up, who asked for it is told.
		name := "test-" + strings.ToLower(rand.Text()[:8])
		cmd := i.command("run", "--detach", "--name", name, "--engine", "gvisor", "-f", "pod.yaml", "--image", "host")
		var said strings.Builder
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lock := filepath.Join(i.named(name), "lock")
		for deadline := time.Now().Add(30 * time.Second); !there(lock) && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
		id := i.entry(t, name).ID
		if err := syscall.Kill(keeperPID(t, i, name), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		code := exitCode(t, cmd.Wait())
		i.awaitEnd(t, name)
		// It may have been up by then.
		if code != 0 && (code != 125 || !strings.Contains(said.String(), "ended before it was up")) {
			t.Errorf("run --detach whose keeper is killed: code %d, said %q", code, said.String())
		}
		i.must(t, "gc")
		assertGone(t, id)
	})
}

func there(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// TestPodKeptRoots: the root file system of a container that starts later stays
// until it does.
func TestPodKeptRoots(t *testing.T) {
	i := install(t, 0)
	twoImages(t, i)
	name := keep(t, i, strings.Replace(kept, "echo begun", "until test -e /data/go; do sleep 0.02; done; echo begun", 1))
	if out, said, code := i.run(t, "image", "gc", "--all"); code != 0 {
		t.Errorf("image gc: code %d, output %q, said %q", code, out, said)
	}
	i.must(t, "exec", "-c", "before", name, "touch", "/data/go")
	if got := i.must(t, "exec", "-c", "one", name, "cat", "/which"); got != "first\n" {
		t.Errorf("the root file system of one: %q", got)
	}
	i.must(t, "rm", "-f", name)
}

// keep starts a pod that is kept.
func keep(t *testing.T, i installed, pods string, args ...string) (name string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(i.home, "pod.yaml"), []byte(pods), 0o644); err != nil {
		t.Fatal(err)
	}
	name = "test-" + strings.ToLower(rand.Text()[:8])
	out, said, code := i.run(t, append([]string{"run", "--detach", "--name", name, "--engine", "gvisor", "-f", "pod.yaml"}, args...)...)
	if code != 0 || out != name+"\n" {
		t.Fatalf("run --detach: code %d, output %q, said %q", code, out, said)
	}
	t.Cleanup(func() { _ = i.command("rm", "-f", name).Run() })
	return name
}

// awaitEnd waits until a named sandbox is not running any more.
func (i installed) awaitEnd(t *testing.T, name string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); i.entry(t, name).Status == keeper.Running; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("sandbox %s goes on", name)
		}
	}
}
