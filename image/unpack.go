//go:build linux

package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	securejoin "github.com/cyphar/filepath-securejoin"
)

// Whiteouts of the OCI image specification: a file that hides one of a lower
// layer, and one that hides all that lower layers have in its folder.
const (
	whiteout       = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// A layer may be unpacked at most maxExpansion times its packed size. Real
// layers stay below 30.
const maxExpansion = 100

// ErrHostile: an image was refused for what it tries to write.
var (
	ErrHostile   = errors.New("image refused")
	errExpansion = fmt.Errorf("%w: a layer unpacks to more than %d times its size", ErrHostile, maxExpansion)
)

// limits bound what an image may become on disk.
type limits struct {
	entries int   // files, folders and links, over all layers
	bytes   int64 // content as it is written, over all layers
}

// Bounds of one entry.
const (
	maxName  = 4096
	maxDepth = 128 // folders; each is a system call for each entry
	maxOwner = 1<<32 - 2
)

// unpacker applies layers, lowest first, to one folder. Every change goes
// through an os.Root: whatever links a layer makes, nothing outside is touched.
// Not written: device nodes in /dev (the engine makes it), pipes, set-user-ID
// and set-group-ID bits, extended attributes. Owners are kept when the caller
// is root. The owner may always read, so that the tree can be copied and removed.
type unpacker struct {
	dir    string
	root   *os.Root
	left   limits
	owners bool
}

func newUnpacker(dir string, l limits) (*unpacker, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &unpacker{dir: dir, root: root, left: l, owners: os.Geteuid() == 0}, nil
}

func (u *unpacker) close() { _ = u.root.Close() }

// layer applies one layer, an uncompressed tar stream that may write at most
// allowed bytes. A sparse file counts with its holes, which are written.
func (u *unpacker) layer(r io.Reader, allowed int64) error {
	added := map[string]bool{} // what this layer wrote, and the folders above it
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading a layer: %w", err)
		}
		if u.left.entries--; u.left.entries < 0 {
			return fmt.Errorf("%w: it has too many files", ErrHostile)
		}
		u.left.bytes -= h.Size
		allowed -= h.Size
		switch {
		case h.Size < 0 || u.left.bytes < 0:
			err = fmt.Errorf("%w: it is larger than the limit when unpacked", ErrHostile)
		case allowed < 0:
			err = errExpansion
		default:
			err = u.entry(h, tr, added)
		}
		if err != nil {
			return fmt.Errorf("unpacking %q: %w", h.Name, err)
		}
	}
}

// inside cleans the name of an entry. A name that climbs is refused, even where
// it would end inside.
func inside(name string) (string, error) {
	if strings.ContainsRune(name, 0) || len(name) > maxName || strings.Count(name, "/") > maxDepth {
		return "", fmt.Errorf("%w: no file can have such a name", ErrHostile)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("%w: the path leaves the image", ErrHostile)
		}
	}
	return strings.TrimPrefix(path.Clean("/"+name), "/"), nil
}

// resolve follows the links in the folder part of name as a process inside the
// image would. What it returns goes through no link.
func (u *unpacker) resolve(name string) (string, error) {
	dir, err := securejoin.SecureJoin(u.dir, path.Dir(name))
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(u.dir, dir)
	if err != nil {
		return "", err
	}
	return filepath.Join(rel, path.Base(name)), nil
}

func (u *unpacker) entry(h *tar.Header, content io.Reader, added map[string]bool) error {
	clean, err := inside(h.Name)
	if err != nil {
		return err
	}
	if clean == "" {
		if h.Typeflag != tar.TypeDir {
			return fmt.Errorf("%w: the root of an image is a folder", ErrHostile)
		}
		return u.finish(".", h)
	}
	name, err := u.resolve(clean)
	if err != nil {
		return err
	}
	if base := path.Base(name); strings.HasPrefix(base, whiteout) {
		if base == whiteoutOpaque {
			return u.removeLower(path.Dir(name), added)
		}
		hidden := strings.TrimPrefix(base, whiteout)
		if hidden == "" || hidden == "." || hidden == ".." {
			return fmt.Errorf("%w: a whiteout of nothing", ErrHostile)
		}
		return u.hide(path.Join(path.Dir(name), hidden), added)
	}
	for dir := name; dir != "."; dir = path.Dir(dir) {
		added[dir] = true
	}
	return u.write(name, h, content)
}

// hide removes name, as far as lower layers wrote it.
func (u *unpacker) hide(name string, added map[string]bool) error {
	if !added[name] {
		return u.root.RemoveAll(name)
	}
	if info, err := u.root.Lstat(name); err != nil || !info.IsDir() {
		return err
	}
	return u.removeLower(name, added)
}

// removeLower removes what lower layers wrote below dir.
func (u *unpacker) removeLower(dir string, added map[string]bool) error {
	f, err := u.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	names, err := f.Readdirnames(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, n := range names {
		if err := u.hide(path.Join(dir, n), added); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacker) write(name string, h *tar.Header, content io.Reader) error {
	target := ""
	if h.Typeflag == tar.TypeLink {
		var err error
		if target, err = u.linkTarget(name, h.Linkname); err != nil || target == name {
			return err
		}
	}
	if err := u.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	info, err := u.root.Lstat(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	isDir := h.Typeflag == tar.TypeDir
	if err == nil && (!isDir || !info.IsDir()) {
		if err := u.root.RemoveAll(name); err != nil {
			return err
		}
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if err := u.root.MkdirAll(name, 0o755); err != nil {
			return err
		}
	case tar.TypeReg, tar.TypeGNUSparse:
		f, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	case tar.TypeSymlink:
		// It may point anywhere: only a process inside follows it.
		if err := u.root.Symlink(h.Linkname, name); err != nil {
			return err
		}
	case tar.TypeLink:
		return u.root.Link(target, name)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		if h.Typeflag == tar.TypeFifo || name == "dev" || strings.HasPrefix(name, "dev/") {
			return nil
		}
		return fmt.Errorf("%w: a device node outside /dev", ErrHostile)
	default:
		return fmt.Errorf("%w: entries of type %q are not known", ErrHostile, h.Typeflag)
	}
	return u.finish(name, h)
}

// linkTarget finds the file of the image that a hard link at name shares.
func (u *unpacker) linkTarget(name, to string) (string, error) {
	clean, err := inside(to)
	if err != nil {
		return "", err
	}
	target, err := u.resolve(clean)
	if err != nil {
		return "", err
	}
	info, err := u.root.Lstat(target)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: a hard link to %q, which is not there", ErrHostile, to)
	case info.IsDir():
		return "", fmt.Errorf("%w: a hard link to a folder", ErrHostile)
	case strings.HasPrefix(target, name+"/"):
		return "", fmt.Errorf("%w: a hard link in the place of the folder that has its target", ErrHostile)
	}
	return target, nil
}

// finish sets owner, mode and time.
func (u *unpacker) finish(name string, h *tar.Header) error {
	if h.Uid < 0 || h.Uid > maxOwner || h.Gid < 0 || h.Gid > maxOwner {
		return fmt.Errorf("%w: no user or group has the number of its owner", ErrHostile)
	}
	if u.owners {
		if err := u.root.Lchown(name, h.Uid, h.Gid); err != nil {
			return err
		}
	}
	if h.Typeflag == tar.TypeSymlink {
		return nil
	}
	mode := fs.FileMode(h.Mode & 0o777)
	if h.Typeflag == tar.TypeDir {
		mode |= 0o700 // later layers, and the removal, go through it
		if h.Mode&0o1000 != 0 {
			mode |= fs.ModeSticky
		}
		return u.root.Chmod(name, mode)
	}
	if err := u.root.Chmod(name, mode|0o400); err != nil {
		return err
	}
	// Python and make compare the times of files.
	if h.ModTime.Before(time.Unix(0, 0)) || h.ModTime.Year() > 9999 {
		return nil
	}
	return u.root.Chtimes(name, h.ModTime, h.ModTime)
}
