package oci

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// writeContents makes the files below dir, which nobody but this user may
// enter, and returns where they are mounted.
func writeContents(dir string, contents []sandbox.Content) ([]sandbox.Mount, error) {
	var out []sandbox.Mount
	for i, c := range contents {
		at := filepath.Join(dir, strconv.Itoa(i))
		if err := writeContent(at, c); err != nil {
			return nil, fmt.Errorf("writing what is mounted at %s: %w", c.Target, err)
		}
		out = append(out, sandbox.Mount{Source: at, Target: c.Target})
	}
	return out, nil
}

func writeContent(at string, c sandbox.Content) error {
	if len(c.Files) != 1 || c.Files[0].Path != "" {
		if err := os.MkdirAll(at, 0o755); err != nil {
			return err
		}
	}
	for _, f := range c.Files {
		if f.Path != "" && !filepath.IsLocal(f.Path) {
			return fmt.Errorf("%q is not a path below it", f.Path)
		}
		name := filepath.Join(at, f.Path)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		out, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = out.Write(f.Data)
		if err := errors.Join(err, own(out, c.GID, fs.FileMode(f.Mode).Perm()), out.Close()); err != nil {
			return err
		}
	}
	return nil
}

// own gives a file its group and mode. A caller that may not give the group
// lets others read what the group may: the sandbox has one user.
func own(f *os.File, gid uint32, mode fs.FileMode) error {
	if gid != 0 {
		if err := f.Chown(-1, int(gid)); errors.Is(err, fs.ErrPermission) {
			mode |= mode >> 3 & 0o007
		} else if err != nil {
			return err
		}
	}
	return f.Chmod(mode)
}
