//go:build linux

package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/image/imagetest"
)

// apart is a pod whose containers have different images and users, and a Secret
// of one of them. They meet in a folder and on loopback.
const apart = `
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {token: s3cret}
---
apiVersion: v1
kind: Pod
metadata: {name: duo}
spec:
  restartPolicy: Never
  initContainers:
  - name: before
    image: oci:second
    command: [sh, -c, "cat /which; id -u; echo begun > /data/init; echo x > /tmp/init; chmod 666 /data/init"]
    volumeMounts: [{name: data, mountPath: /data}]
  containers:
  - name: one
    image: oci:first
    securityContext: {runAsUser: 1001}
    env: [{name: TOKEN, valueFrom: {secretKeyRef: {name: keys, key: token}}}]
    command: [sh, -c]
    args:
    - |
      cat /which; id -u; echo "$TOKEN"; cat /keys/token; echo; cat /data/init; echo of-one > /tmp/mine
      sleep 77 & echo hello > /data/file
      echo pong | busybox nc -l -p 8080 >/dev/null
      until test -e /data/done; do sleep 0.02; done; kill $!
    readinessProbe: {exec: {command: [sh, -c, "test $TOKEN = s3cret && grep -q one /tmp/mine && touch /data/ready"]}, periodSeconds: 1}
    volumeMounts: [{name: data, mountPath: /data}, {name: keys, mountPath: /keys}]
  - name: two
    image: oci:second
    securityContext: {runAsUser: 1002}
    command: [sh, -c]
    args:
    - |
      until test -e /shared/file; do sleep 0.02; done
      cat /which; id -u; cat /shared/file; ls /keys 2>/dev/null; ls /tmp
      cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | busybox tr '\0' '\n' | grep -e '^7[7]$' -e s3cre[t]
      until busybox nc 127.0.0.1 8080 </dev/null 2>/dev/null; do sleep 0.02; done
      until test -e /shared/ready; do sleep 0.02; done # the probe runs in its own container
      touch /shared/done; exit 3
    volumeMounts: [{name: data, mountPath: /shared}]
  volumes:
  - {name: data, emptyDir: {}}
  - {name: keys, secret: {secretName: keys}}
`

// twoImages writes two images that differ in a file, and the pod of both.
func twoImages(t *testing.T, i installed) {
	for _, name := range []string{"first", "second"} {
		image := imagetest.Busybox(t)
		image.Layers = append(image.Layers, imagetest.Layer(t, imagetest.File("which", name+"\n")))
		image.WriteLayout(t, filepath.Join(i.home, name), "")
	}
	if err := os.WriteFile(filepath.Join(i.home, "pod.yaml"), []byte(apart), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestPodApart: behind gVisor each container of a pod that needs it has its own
// root file system, user, processes and Secret.
func TestPodApart(t *testing.T) {
	users(t, func(t *testing.T, i installed) {
		twoImages(t, i)
		out, said, code := i.run(t, "run", "--engine", "gvisor", "--timeout", "30s", "-f", "pod.yaml")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		slices.SortStableFunc(lines, func(a, b string) int { return strings.Compare(a[:5], b[:5]) })
		want := []string{
			"[before] second", "[before] 65532",
			"[one] first", "[one] 1001", "[one] s3cret", "[one] s3cret", "[one] begun",
			"[two] second", "[two] 1002", "[two] hello", "[two] pong",
		}
		if code != 3 || !slices.Equal(lines, want) {
			t.Errorf("code %d, want 3, output\n%s\nwant\n%s\n%s", code, strings.Join(lines, "\n"), strings.Join(want, "\n"), said)
		}
	})
}

// TestPodTogether: what cannot keep its containers apart runs none of them, and
// the error names what can.
func TestPodTogether(t *testing.T) {
	i := install(t, 0)
	twoImages(t, i)
	for _, detach := range []bool{false, true} {
		args := []string{"run", "-f", "pod.yaml", "--engine", "runc"}
		if detach {
			args = append(args, "--detach")
		}
		out, said, code := i.run(t, args...)
		_, next, _ := strings.Cut(said, "next: ")
		if code != 125 || out != "" || !strings.Contains(said, `containers "before" and "one" run as different users or with different rights`) || !strings.Contains(next, "or --engine gvisor, which keeps the containers apart") {
			t.Errorf("%v: code %d, output %q, said %q", args, code, out, said)
		}
	}
}

// run runs bulkhead with a cache of the test's own.
func (i installed) run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := i.command(args...)
	cmd.Env = append(cmd.Env, "XDG_CACHE_HOME="+filepath.Join(i.home, "cache"))
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	code = exitCode(t, cmd.Run())
	return out.String(), said.String(), code
}
