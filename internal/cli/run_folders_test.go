//go:build linux

package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// folders is a pod whose init container has all of a volume, and the other two
// a folder of it each. The first tries to have another folder in one's place.
const folders = `
apiVersion: v1
kind: Pod
metadata: {name: folders}
spec:
  restartPolicy: Never
  initContainers:
  - name: before
    image: x
    command: [sh, -c]
    args:
    - |
      cd /work; echo one > src/name; echo deep > src/a/name; echo top > name
      rm -r src/a 2>/dev/null; mv src other 2>/dev/null; rm -r src 2>/dev/null; ln -sfT /etc src 2>/dev/null
      mkdir -p src/a; echo one > src/name; echo deep > src/a/name
    volumeMounts: [{name: work, mountPath: /work}]
  containers:
  - name: first
    image: x
    command: [sh, -c, "cat /src/name /src/a/name; ls /src"]
    volumeMounts: [{name: work, mountPath: /src, subPath: src}]
  - name: second
    image: x
    command: [sh, -c, "cat /a/name; ls /a"]
    volumeMounts: [{name: work, mountPath: /a, subPathExpr: src/$(WHERE)}]
    env: [{name: WHERE, value: a}]
  volumes: [{name: work, emptyDir: {}}]
`

// foldersBeside is a pod whose folders of a volume are beside each other, at the same
// places everywhere: any engine has it.
const foldersBeside = `
apiVersion: v1
kind: Pod
metadata: {name: beside}
spec:
  restartPolicy: Never
  initContainers:
  - name: before
    image: x
    command: [sh, -c, "echo in > /in/name; echo out > /out/name"]
    volumeMounts: [{name: work, mountPath: /in, subPath: in}, {name: work, mountPath: /out, subPath: out}]
  containers:
  - name: first
    image: x
    command: [sh, -c, "cat /in/name; ls /in; cat /out/name; ls /out"]
    volumeMounts: [{name: work, mountPath: /in, subPath: in}, {name: work, mountPath: /out, subPath: out}]
  volumes: [{name: work, emptyDir: {}}]
`

// TestPodFolders: containers mount folders of a volume (subPath), and none of
// them can lead another's elsewhere.
func TestPodFolders(t *testing.T) {
	users(t, func(t *testing.T, i installed) {
		for name, text := range map[string]string{"folders.yaml": folders, "beside.yaml": foldersBeside} {
			if err := os.WriteFile(filepath.Join(i.home, name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, tt := range []struct{ file, engine, want string }{
			{"folders.yaml", "gvisor", "[first] a\n[first] deep\n[first] name\n[first] one\n[second] deep\n[second] name\n"},
			{"beside.yaml", "gvisor", "[first] in\n[first] name\n[first] name\n[first] out\n"},
			{"beside.yaml", "runc", "[first] in\n[first] name\n[first] name\n[first] out\n"},
		} {
			out, said, code := i.run(t, "run", "--engine", tt.engine, "--image", "host", "--timeout", "30s", "-f", tt.file)
			if code != 0 || sortedLines(out) != tt.want {
				t.Errorf("%s behind %s: code %d, output\n%s\nwant\n%s\n%s", tt.file, tt.engine, code, sortedLines(out), tt.want, said)
			}
		}
	})
}

// sortedLines are the lines of what several containers write at the same time.
func sortedLines(text string) string {
	lines := strings.SplitAfter(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "")
}
