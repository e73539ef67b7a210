//go:build linux

package sandboxtest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/internal/testbin"
)

// unprivileged is a user that the machine has no name and no rights for.
const unprivileged = 12345

// Unprivileged runs this test binary's TestConformance again, as a user without
// any rights. It passes, and skips exactly the parts that a golden file lists
// (one a line): what such a user cannot have.
func Unprivileged(t *testing.T, golden string) {
	out := AsUnprivileged(t, "TestConformance")
	var skipped []string
	for _, match := range regexp.MustCompile(`(?m)^ *--- SKIP: TestConformance/?(\S*)`).FindAllStringSubmatch(string(out), -1) {
		skipped = append(skipped, match[1])
	}
	slices.Sort(skipped)
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Fields(string(want)), skipped); diff != "" {
		t.Errorf("an unprivileged user skips other parts than %s says (-want +got):\n%s\n%s", golden, diff, out)
	}
}

// AsUnprivileged runs a test of this test binary again, as a user without any
// rights, and returns what it printed. It passes.
func AsUnprivileged(t *testing.T, name string) []byte {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("becoming another user needs root; %s itself ran unprivileged", name)
	}
	// t.TempDir is below a folder of this user's alone.
	dir, err := os.MkdirTemp("", "bulkhead-conformance-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	home := filepath.Join(dir, "home")
	if err := errors.Join(os.Chmod(dir, 0o755), os.Mkdir(home, 0o700), os.Chown(home, unprivileged, unprivileged)); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "conformance.test")
	testbin.Copy(t, "/proc/self/exe", program)
	for _, name := range []string{"bulkhead-guest", "bulkhead-runsc"} {
		testbin.Copy(t, testbin.Path(t, name), filepath.Join(dir, name))
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^"+name+"$", "-test.v")
	cmd.Dir = home
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + home, "TMPDIR=" + home, "BULKHEAD_BIN=" + dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: unprivileged, Gid: unprivileged}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("as an unprivileged user: %v\n%s", err, out)
	}
	return out
}
