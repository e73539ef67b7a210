// Package testbin finds the binaries of `make build` for tests that run real
// sandboxes. Only tests import it.
package testbin

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Path returns the path of a binary of this build: below BULKHEAD_BIN when that
// is set, else in bin/ of the checkout. Without it the test is skipped, except
// where BULKHEAD_BIN promised it.
func Path(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("BULKHEAD_BIN")
	promised := dir != ""
	if !promised {
		dir = filepath.Join(checkout(t), "bin")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		if promised {
			t.Fatalf("BULKHEAD_BIN is set and has no %s: %v", name, err)
		}
		t.Skipf("no %s: run `make build` first", path)
	}
	return path
}

// Installed returns the path of a program of the system, or skips the test.
func Installed(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed (`make test` installs it as root)", name)
	}
	return path
}

// Copy copies a program to where another user may run it.
func Copy(t testing.TB, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Chmod(0o755), out.Close()); err != nil {
		t.Fatal(err)
	}
}

// checkout returns the folder of the root module.
func checkout(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "cmd", "bulkhead")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("not inside a checkout of Bulkhead")
		}
	}
}
