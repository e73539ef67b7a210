//go:build linux

package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
)

// ErrInUse: an image is not removed because a sandbox uses it.
var ErrInUse = errors.New("a sandbox uses it")

// Removed is what was removed from the store.
type Removed struct {
	// Names are gone, and the images of these IDs with them.
	Names []string
	IDs   []string
	// Bytes is the room that became free on disk.
	Bytes int64
}

// Remove removes a name, or an image by its ID with all its names. The image
// goes with its last name. An image that a sandbox uses stays (ErrInUse); so does
// one of several names that is removed by its ID, unless force is set.
func (s *Store) Remove(ctx context.Context, text string, force bool) (Removed, error) {
	lock, err := s.lock(ctx, unix.LOCK_EX)
	if err != nil {
		return Removed{}, err
	}
	defer lock.Close()
	found, err := s.Find(text)
	if err != nil {
		return Removed{}, fault.WithHint(fmt.Errorf("image %s: %w", text, err), "`bulkhead image ls` lists what is there")
	}
	if len(found) > 1 && !force {
		return Removed{}, fault.WithHint(fmt.Errorf("image %s has %d names", text, len(found)), "remove one of its names, or all by --force")
	}
	all, err := s.List()
	if err != nil {
		return Removed{}, err
	}
	left := -len(found)
	for _, r := range all {
		if r.ID == found[0].ID {
			left++
		}
	}
	var out Removed
	if left == 0 {
		if used, err := s.inUse(found[0].ID); err != nil || used {
			return out, errors.Join(err, inUseError(text, used))
		}
		out.IDs = append(out.IDs, found[0].ID.String())
	}
	for _, r := range found {
		if err := os.Remove(s.nameFile(r.Name)); err != nil {
			return out, err
		}
		out.Names = append(out.Names, r.Name)
	}
	out.Bytes, err = s.sweep(func(id string) bool { return left == 0 && id == found[0].ID.Hex })
	return out, err
}

func inUseError(text string, used bool) error {
	if !used {
		return nil
	}
	return fault.WithHint(fmt.Errorf("image %s: %w", text, ErrInUse), "`bulkhead ps` lists sandboxes; end the one that uses it first")
}

// GC removes what no name and no sandbox needs: what crashes and failures left,
// roots of images without a name, blobs. With all also the names of images that
// no sandbox uses. What somebody uses stays.
func (s *Store) GC(ctx context.Context, all bool) (Removed, error) {
	lock, err := s.lock(ctx, unix.LOCK_EX)
	if err != nil {
		return Removed{}, err
	}
	defer lock.Close()
	var out Removed
	if all {
		records, err := s.List()
		if err != nil {
			return out, err
		}
		for _, r := range records {
			used, err := s.inUse(r.ID)
			if err != nil {
				return out, err
			}
			if used {
				continue
			}
			if err := os.Remove(s.nameFile(r.Name)); err != nil {
				return out, err
			}
			out.Names = append(out.Names, r.Name)
		}
	}
	out.Bytes, err = s.sweep(func(string) bool { return true })
	return out, err
}

// sweepBlobs removes the blobs that nothing names, unless somebody adds some now:
// then a later sweep does it.
func (s *Store) sweepBlobs() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // asked for once, not waited for
	lock, err := s.lock(ctx, unix.LOCK_EX)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	_, err = s.sweep(func(string) bool { return false })
	return err
}

// sweep removes what nothing needs, and of the roots those whose image wanted
// picks by its ID's digits. The store is locked, so that nobody adds anything.
func (s *Store) sweep(wanted func(id string) bool) (freed int64, err error) {
	needed, err := s.needed()
	if err != nil {
		return 0, err
	}
	key, err := s.rootKey()
	if err != nil {
		return 0, err
	}
	for dir, keep := range map[string]func(name string) bool{
		s.namesDir():                         func(string) bool { return true },
		filepath.Join(s.dir, "blobs/sha256"): func(name string) bool { return needed[name] },
		s.rootsDir(): func(name string) bool {
			id, has, _ := strings.Cut(name, "-")
			return !wanted(id) || needed[id] && has == key
		},
	} {
		n, rmErr := removeUnless(dir, keep)
		freed += n
		err = errors.Join(err, rmErr)
	}
	return freed, err
}

// needed are the digests of the blobs that names lead to.
func (s *Store) needed() (map[string]bool, error) {
	records, err := s.List()
	if err != nil {
		return nil, err
	}
	needed := map[string]bool{}
	for _, r := range records {
		needed[r.Manifest.Digest.Hex], needed[r.ID.Hex] = true, true
		text, err := layout{s.dir}.blob(r.Manifest)
		if err != nil {
			continue // broken: whoever opens it is told
		}
		m, err := readManifest(text)
		if err != nil {
			continue
		}
		for _, l := range m.Layers {
			needed[l.Digest.Hex] = true
		}
	}
	return needed, nil
}

// removeUnless removes from a folder what keep does not want, nobody uses, or was
// never completed.
func removeUnless(dir string, keep func(name string) bool) (freed int64, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		half := strings.HasPrefix(e.Name(), newPrefix) || strings.HasPrefix(e.Name(), oldPrefix)
		if !half && keep(e.Name()) {
			continue
		}
		size := onDisk(path)
		var rmErr error
		if half {
			rmErr = os.RemoveAll(path)
		} else if rmErr = remove(path); errors.Is(rmErr, ErrInUse) {
			continue
		}
		if rmErr == nil {
			freed += size
		}
		err = errors.Join(err, rmErr)
	}
	return freed, err
}

// onDisk is how many bytes of disk a file or folder takes, as far as it can be seen.
func onDisk(path string) (bytes int64) {
	_ = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil //nolint:nilerr // what cannot be seen does not count
		}
		if info, err := e.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok && (st.Nlink == 1 || e.IsDir()) {
				bytes += st.Blocks * 512
			}
		}
		return nil
	})
	return bytes
}
