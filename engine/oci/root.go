package oci

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// target is a place in the root file system that something is mounted on.
type target struct {
	path string
	mode fs.FileMode
	file bool // a file is mounted, so the place is one
}

// prepareRoot returns a root folder that has a place for every mount. Runtimes
// would make a missing one themselves, in the shared root or, through it, in
// the host's own folders. Where one is missing, dir/rootfs becomes a copy of
// the shared root (hard links) with it.
func prepareRoot(dir string, s sandbox.Spec) (string, error) {
	var missing []target
	for _, t := range targets(s) {
		there, err := exists(s.Root, t.path)
		if err != nil {
			return "", fault.WithHint(fmt.Errorf("mounting at %s: %w", t.path, err), "mount below /mnt, /work, /tmp or the home folder")
		}
		if !there {
			missing = append(missing, t)
		}
	}
	if len(missing) == 0 {
		return s.Root.Dir, nil
	}
	root := filepath.Join(dir, "rootfs")
	if err := clone(s.Root.Dir, root); err != nil {
		return "", fmt.Errorf("copying the root file system: %w", err)
	}
	for _, t := range missing {
		if err := place(root, t); err != nil {
			return "", fmt.Errorf("making a place for the mount at %s: %w", t.path, err)
		}
	}
	return root, nil
}

// targets lists what has to be there before anything is mounted: places below
// an earlier tmpfs or mount are made by the runtime, in that.
func targets(s sandbox.Spec) []target {
	var out []target
	covered := []string{"/proc", "/sys", "/dev"}
	add := func(t target) {
		for _, c := range covered {
			if t.path == c || strings.HasPrefix(t.path, c+"/") {
				return
			}
		}
		out = append(out, t)
		covered = append(covered, t.path)
	}
	for _, t := range s.Tmpfs {
		add(target{path: path.Clean(t.Target), mode: fs.FileMode(t.Mode & 0o777)})
	}
	for _, m := range s.Mounts {
		info, err := os.Stat(m.Source)
		add(target{path: path.Clean(m.Target), mode: 0o755, file: err == nil && !info.IsDir()})
	}
	return out
}

// exists reports whether name is there in the root, without following links:
// they would lead out of it, to the host's own folders.
func exists(root sandbox.Root, name string) (bool, error) {
	if !path.IsAbs(name) || name == "/" {
		return false, fmt.Errorf("it is not a folder below the root")
	}
	for _, b := range root.Binds {
		rest, below := strings.CutPrefix(name, b.Target+"/")
		if !below && name != b.Target {
			continue
		}
		if _, err := os.Stat(filepath.Join(b.Source, rest)); err != nil {
			return false, fmt.Errorf("%s is the host's and has no such place", b.Target)
		}
		return true, nil
	}
	at := root.Dir
	for part := range strings.SplitSeq(strings.TrimPrefix(name, "/"), "/") {
		at = filepath.Join(at, part)
		info, err := os.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return false, nil
		case err != nil:
			return false, err
		case info.Mode()&fs.ModeSymlink != 0:
			return false, errors.New("its path goes through a symbolic link")
		}
	}
	return true, nil
}

// clone copies folders and links of from, and hard-links its files.
func clone(from, to string) error {
	return filepath.WalkDir(from, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		dst := filepath.Join(to, rel)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			return errors.Join(os.Mkdir(dst, 0o700), os.Chmod(dst, info.Mode()&(fs.ModePerm|fs.ModeSticky)))
		case info.Mode()&fs.ModeSymlink != 0:
			link, err := os.Readlink(name)
			if err != nil {
				return err
			}
			return os.Symlink(link, dst)
		default:
			if os.Link(name, dst) == nil {
				return nil
			}
			return copyFile(name, dst, info.Mode().Perm()) // another file system
		}
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(mode), out.Close())
}

// place makes an empty folder or file in root.
func place(root string, t target) error {
	name := filepath.Join(root, t.path)
	if !t.file {
		return errors.Join(os.MkdirAll(name, 0o755), os.Chmod(name, t.mode))
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, nil, 0o644)
}
