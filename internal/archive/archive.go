// Package archive carries files and folders into and out of sandboxes, as tar
// streams. Both ends use it. Unpack trusts nothing in a stream: it writes below
// one folder and within its limits, makes no link that leads out and no device,
// and says what it left out.
package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Limits bound what is unpacked.
type Limits struct {
	Bytes   int64 // of all files together, as written
	Entries int   // files, folders and links
}

// maxName bounds a path in an archive, maxDepth its folders.
const (
	maxName  = 4 << 10
	maxDepth = 128
)

// ErrLimit: a stream holds more than its limits allow.
var ErrLimit = errors.New("more than the limit")

// Pack writes the file or folder at path. The entry of path itself is named
// "."; owners are left out. Links are kept as links; sockets, pipes and devices
// are returned as skipped.
func Pack(w io.Writer, path string) (skipped []string, err error) {
	out := tar.NewWriter(w)
	err = filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(path, name)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() && !info.IsDir() && info.Mode()&fs.ModeSymlink == 0 {
			skipped = append(skipped, relative)
			return nil
		}
		return packOne(out, name, relative, info)
	})
	return skipped, errors.Join(err, out.Close())
}

func packOne(out *tar.Writer, path, name string, info fs.FileInfo) error {
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.Uid, h.Gid, h.Uname, h.Gname = name, 0, 0, "", ""
	if !info.Mode().IsRegular() {
		return out.WriteHeader(h)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	// A file that grows meanwhile is cut, one that shrinks is an error.
	if n, err := io.Copy(out, io.LimitReader(f, h.Size)); err != nil || n != h.Size {
		return errors.Join(err, fmt.Errorf("%s changed while it was read", name))
	}
	return nil
}

// Unpack writes a stream of Pack to path, whose parent folder exists. Folders
// that are there are completed, files and links replaced. Modes lose everything
// but the permission bits. skipped are the entries that were left out, and why;
// they are the stream's text.
func Unpack(r io.Reader, path string, limits Limits) (skipped []string, err error) {
	u := &unpacker{in: tar.NewReader(r), path: path, left: limits}
	defer func() {
		if u.root != nil {
			err = errors.Join(err, u.root.Close())
		}
	}()
	for first := true; ; first = false {
		h, err := u.in.Next()
		if errors.Is(err, io.EOF) && !first {
			return u.skipped, nil
		}
		if err == nil {
			err = u.entry(h, first)
		}
		if err != nil {
			return u.skipped, fmt.Errorf("unpacking: %w", err)
		}
	}
}

type unpacker struct {
	in      *tar.Reader
	path    string
	root    *os.Root // the folder that nothing leaves
	left    Limits
	skipped []string
}

func (u *unpacker) entry(h *tar.Header, first bool) error {
	if u.left.Entries--; u.left.Entries < 0 {
		return fmt.Errorf("%w of entries", ErrLimit)
	}
	name := filepath.Clean(h.Name)
	if len(name) > maxName || strings.Count(name, "/") > maxDepth {
		return fmt.Errorf("a path that is too long: %w", ErrLimit)
	}
	if !filepath.IsLocal(name) {
		return fmt.Errorf("%q leads out of what was asked for", h.Name)
	}
	if first {
		return u.top(h, name)
	}
	if name == "." || u.root == nil {
		return fmt.Errorf("%q in a place where it cannot be", h.Name)
	}
	if err := u.realParents(name); err != nil {
		return err
	}
	return u.write(h, name)
}

// realParents refuses what lies behind a link: Pack writes no such path, and
// where a relative link leads could not be told from its path.
func (u *unpacker) realParents(name string) error {
	for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
		if info, err := u.root.Lstat(dir); err != nil || !info.IsDir() {
			return errors.Join(err, fmt.Errorf("%q is in something that is no folder", name))
		}
	}
	return nil
}

// leadsOut reports whether a link may lead out of the folder. Dots behind a
// name are refused, because the name may be a link itself.
func leadsOut(name, target string) bool {
	return filepath.IsAbs(target) || filepath.Clean(target) != strings.TrimSuffix(target, "/") ||
		!filepath.IsLocal(filepath.Join(filepath.Dir(name), target))
}

// top makes what everything else is written below.
func (u *unpacker) top(h *tar.Header, name string) (err error) {
	if name != "." {
		return fmt.Errorf("the stream begins with %q", h.Name)
	}
	if h.Typeflag == tar.TypeDir {
		if err := os.Mkdir(u.path, folderMode(h)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		u.root, err = os.OpenRoot(u.path)
		return err
	}
	parent, err := os.OpenRoot(filepath.Dir(u.path))
	if err != nil {
		return err
	}
	// A file is all there is: whatever follows has no root to be below.
	defer func() { _ = parent.Close() }()
	u.root = parent
	defer func() { u.root = nil }()
	return u.write(h, filepath.Base(u.path))
}

func folderMode(h *tar.Header) fs.FileMode { return fs.FileMode(h.Mode)&0o777 | 0o700 }

func (u *unpacker) write(h *tar.Header, name string) error {
	switch h.Typeflag {
	case tar.TypeDir:
		err := u.root.Mkdir(name, folderMode(h))
		if errors.Is(err, fs.ErrExist) {
			if info, err := u.root.Lstat(name); err != nil || !info.IsDir() {
				return errors.Join(err, fmt.Errorf("%q is there and no folder", name))
			}
			return nil
		}
		return err
	case tar.TypeReg, tar.TypeGNUSparse:
		return u.file(h, name)
	case tar.TypeSymlink:
		if leadsOut(name, h.Linkname) {
			u.skip(name, "a link that leads out")
			return nil
		}
		if err := u.makeWay(name); err != nil {
			return err
		}
		return u.root.Symlink(h.Linkname, name)
	default:
		u.skip(name, "neither a file, a folder nor a symbolic link")
		return nil
	}
}

// skip notes an entry that is left out; the first hundred are told.
func (u *unpacker) skip(name, why string) {
	if len(u.skipped) < 100 {
		u.skipped = append(u.skipped, name+": "+why)
	}
}

// makeWay removes a file or link that is in the way: nothing is written through it.
func (u *unpacker) makeWay(name string) error {
	info, err := u.root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return fmt.Errorf("%q is there and a folder", name)
	}
	return u.root.Remove(name)
}

func (u *unpacker) file(h *tar.Header, name string) error {
	if err := u.makeWay(name); err != nil {
		return err
	}
	mode := fs.FileMode(h.Mode) & 0o777
	f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	// Counted as it is written: a sparse file is small in the stream alone.
	n, err := io.Copy(f, io.LimitReader(u.in, u.left.Bytes+1))
	if u.left.Bytes -= n; u.left.Bytes < 0 {
		err = errors.Join(err, fmt.Errorf("%w of bytes", ErrLimit), u.root.Remove(name))
	}
	return errors.Join(err, f.Close())
}
