// Package apiserver builds a real etcd, kube-apiserver, kube-controller-manager and
// kubectl from their Go modules and runs them on loopback, for tests that ask
// the API server itself.
package apiserver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// Binaries is a folder with etcd, kube-apiserver, kube-controller-manager and
// kubectl.
type Binaries string

func (b Binaries) path(name string) string { return filepath.Join(string(b), name) }

// Build returns the programs at the versions that go.mod pins. They are kept in
// the user's cache folder; when they are missing they are built, which takes
// minutes, and log says so.
func Build(ctx context.Context, log io.Writer) (Binaries, error) {
	module, err := moduleDir()
	if err != nil {
		return "", err
	}
	dir, err := build(ctx, log, module, "kubernetes", []string{"k8s.io/kubernetes ", "go.etcd.io/etcd/server/v3 "},
		"k8s.io/kubernetes/cmd/kube-apiserver", "k8s.io/kubernetes/cmd/kube-controller-manager", "k8s.io/kubernetes/cmd/kubectl", "./components/etcd")
	return Binaries(dir), err
}

// build returns a folder of the cache with the programs of a module, which it
// builds where they are missing. The folder goes by what go.mod says of the pins.
func build(ctx context.Context, log io.Writer, module, name string, pins []string, programs ...string) (string, error) {
	versions, err := pinned(module, pins)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder: %w", err)
	}
	digest := sha256.Sum256([]byte(versions + runtime.Version() + strings.Join(programs, " ")))
	dir := filepath.Join(cache, "bulkhead-test", name+"-"+hex.EncodeToString(digest[:6]))
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	unlock, err := Lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	fmt.Fprintf(log, "building %s into %s (once; some minutes)\n", strings.Join(programs, ", "), dir)
	tmp, err := os.MkdirTemp(filepath.Dir(dir), ".building-")
	if err != nil {
		return "", fmt.Errorf("making the cache folder: %w", err)
	}
	defer os.RemoveAll(tmp)
	cmd := exec.CommandContext(ctx, "go", append([]string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", tmp + "/"}, programs...)...)
	cmd.Dir = module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = log
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("building %s: %w", name, err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return "", fmt.Errorf("keeping the programs: %w", err)
	}
	return dir, nil
}

// Lock waits until no other process holds path, a file that is made where it is
// missing: packages are tested, and servers started by hand, side by side.
func Lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}

// pinned returns the lines of go.mod with the versions of what is built.
func pinned(module string, pins []string) (string, error) {
	text, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("reading the pinned versions: %w", err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		for _, name := range pins {
			if strings.HasPrefix(strings.TrimPrefix(strings.TrimSpace(line), "require "), name) {
				lines = append(lines, strings.TrimSpace(line))
			}
		}
	}
	if len(lines) != len(pins) {
		return "", fmt.Errorf("reading the pinned versions: go.mod has %q", lines)
	}
	return strings.Join(lines, "\n"), nil
}

// moduleDir is the folder of the module that pins the programs.
func moduleDir() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("finding the folder of this source file: unknown")
	}
	return filepath.Dir(filepath.Dir(file)), nil
}
