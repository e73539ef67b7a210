//go:build linux

// Package image prepares root file systems for sandboxes: of the host's own
// toolchain, and of container images. Whatever an image says is hostile.
package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/version"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// Paths inside every root file system that this package prepares.
const (
	// AgentPath is the guest agent.
	AgentPath = "/.bulkhead/bulkhead-guest"
	// HomePath is the home folder of User, empty and writable.
	HomePath = "/home/user"
)

// User is the user of every root file system that has none of its own. It is
// none of the host's: the number is the one that distroless images use.
func User() sandbox.User { return sandbox.User{UID: 65532, GID: 65532} }

// rootForm is the version of what prepared roots look like. A root that an
// earlier version wrote is not used again.
const rootForm = "3"

// Toolchain prepares a root file system of the host's own programs: /usr as it
// is, read-only, and an /etc made up from nothing but what programs need to
// start. agent is the guest agent's binary on the host. Roots are kept in
// cacheDir and shared; ctx bounds the preparation.
func Toolchain(ctx context.Context, cacheDir, agent string) (sandbox.Root, error) {
	binds, links, err := system()
	if err != nil {
		return sandbox.Root{}, err
	}
	key, err := toolchainKey(agent, links)
	if err != nil {
		return sandbox.Root{}, err
	}
	dir := filepath.Join(cacheDir, "toolchain-"+key)
	root := sandbox.Root{Dir: dir, Binds: binds}
	if _, err := os.Stat(dir); err == nil {
		return root, nil
	}
	if err := ctx.Err(); err != nil {
		return sandbox.Root{}, err
	}
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return sandbox.Root{}, fmt.Errorf("preparing the toolchain root: %w", err)
	}
	// Written beside its place and renamed: a crash leaves no half root, and of
	// two that write at the same time one wins.
	tmp, err := os.MkdirTemp(cacheDir, ".toolchain-")
	if err != nil {
		return sandbox.Root{}, fmt.Errorf("preparing the toolchain root: %w", err)
	}
	defer os.RemoveAll(tmp)
	if err := writeToolchain(tmp, agent, binds, links); err != nil {
		return sandbox.Root{}, fmt.Errorf("preparing the toolchain root: %w", err)
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return sandbox.Root{}, fmt.Errorf("preparing the toolchain root: %w", err)
	}
	return root, nil
}

// system lists what of the host's root folder holds programs: folders to bind,
// and symbolic links to make again (/bin -> usr/bin where /usr is merged).
func system() (binds []sandbox.Mount, links map[string]string, err error) {
	links = map[string]string{}
	for _, name := range []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"} {
		info, err := os.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return nil, nil, fmt.Errorf("looking at %s: %w", name, err)
		case info.Mode()&fs.ModeSymlink != 0:
			if links[name], err = os.Readlink(name); err != nil {
				return nil, nil, fmt.Errorf("looking at %s: %w", name, err)
			}
		case info.IsDir():
			binds = append(binds, sandbox.Mount{Source: name, Target: name})
		}
	}
	return binds, links, nil
}

// toolchainKey changes whenever the root's content would.
func toolchainKey(agent string, links map[string]string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, rootForm, version.String(), links)
	for _, path := range []string{agent, "/etc/ld.so.cache", "/etc/alternatives", caBundle} {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) && path != agent {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("preparing the toolchain root: %w", err)
		}
		fmt.Fprintln(h, path, info.Size(), info.ModTime().UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}

const caBundle = "/etc/ssl/certs/ca-certificates.crt"

func writeToolchain(dir, agent string, binds []sandbox.Mount, links map[string]string) error {
	w := &writer{root: dir}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	for _, m := range binds {
		w.mkdir(m.Target, 0o755)
	}
	for name, target := range links {
		w.symlink(name, target)
	}
	for _, name := range []string{"/proc", "/sys", "/dev", "/run", "/var", "/home", HomePath, "/root", "/mnt", "/work", "/etc", "/etc/ssl", "/etc/ssl/certs", "/.bulkhead"} {
		w.mkdir(name, 0o755)
	}
	// Some runtimes give a tmpfs the mode of the folder that it covers.
	w.mkdir("/tmp", fs.ModeSticky|0o777)
	w.mkdir("/var/tmp", fs.ModeSticky|0o777)
	for name, content := range etc() {
		w.write("/etc/"+name, content)
	}
	// Not secret, and programs do not start (or start slowly) without them.
	w.copyIfThere("/etc/ld.so.cache", "/etc/ld.so.cache", 0o644)
	w.copyIfThere(caBundle, caBundle, 0o644)
	w.copyLinks("/etc/alternatives")
	w.copy(agent, AgentPath, 0o755)
	return w.err
}

// etc is the made-up /etc: nothing of the host's users, names or servers.
func etc() map[string]string {
	u := User()
	return map[string]string{
		"passwd":        fmt.Sprintf("root:x:0:0:root:/root:/bin/sh\nuser:x:%d:%d:user:%s:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n", u.UID, u.GID, HomePath),
		"group":         fmt.Sprintf("root:x:0:\ntty:x:5:\nuser:x:%d:\nnogroup:x:65534:\n", u.GID),
		"hosts":         "127.0.0.1 localhost\n::1 localhost\n",
		"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
		"resolv.conf":   "# No network device: the only way out is the egress proxy.\n",
		"os-release":    "NAME=\"Bulkhead sandbox\"\nID=bulkhead\nPRETTY_NAME=\"Bulkhead sandbox (the host's toolchain)\"\n",
	}
}

// writer writes below root and keeps the first error.
type writer struct {
	root string
	err  error
}

func (w *writer) do(f func() error) {
	if w.err == nil {
		w.err = f()
	}
}

func (w *writer) mkdir(name string, mode fs.FileMode) {
	w.do(func() error {
		path := filepath.Join(w.root, name)
		// Chmod, because the caller's umask must not decide what the guest may read.
		return errors.Join(os.MkdirAll(path, mode), os.Chmod(path, mode))
	})
}

func (w *writer) symlink(name, target string) {
	w.do(func() error { return os.Symlink(target, filepath.Join(w.root, name)) })
}

func (w *writer) write(name, content string) {
	w.do(func() error {
		path := filepath.Join(w.root, name)
		return errors.Join(os.WriteFile(path, []byte(content), 0o644), os.Chmod(path, 0o644))
	})
}

func (w *writer) copy(from, to string, mode fs.FileMode) {
	w.do(func() error {
		in, err := os.Open(from)
		if err != nil {
			return err
		}
		defer in.Close()
		out, err := os.OpenFile(filepath.Join(w.root, to), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, in)
		return errors.Join(err, out.Chmod(mode), out.Close())
	})
}

func (w *writer) copyIfThere(from, to string, mode fs.FileMode) {
	if _, err := os.Stat(from); err == nil {
		w.copy(from, to, mode)
	}
}

// copyLinks makes the symbolic links of a folder again (Debian's alternatives,
// through which /usr/bin/awk and others resolve). Only links into /usr are taken.
func (w *writer) copyLinks(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	w.mkdir(dir, 0o755)
	for _, e := range entries {
		target, err := os.Readlink(filepath.Join(dir, e.Name()))
		if err == nil && strings.HasPrefix(target, "/usr/") {
			w.symlink(filepath.Join(dir, e.Name()), target)
		}
	}
}
