//go:build linux

package image

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Files and folders of the store appear under their names complete, or not at
// all. Who makes one holds it locked under a name of its own until then; who
// uses one holds it locked, shared, so that nobody removes it meanwhile. The
// locks are on the files and folders themselves and end with their holders,
// however those end.

const (
	newPrefix = ".new-" // being made
	oldPrefix = ".old-" // being removed
)

// lockPoll is how often a lock is asked for while another has it.
const lockPoll = 20 * time.Millisecond

// flock locks f when that is free, or waits for it until ctx is over.
func flock(ctx context.Context, f *os.File, how int) error {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lockPoll):
		}
	}
}

// lockAt opens and locks what is at path. Close ends the lock.
func lockAt(ctx context.Context, path string, how int) (*os.File, error) {
	for {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		if err := flock(ctx, f, how); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		// While this waited, it may have been moved away.
		if same, err := isAt(f, path); same {
			return f, nil
		} else if f.Close(); err != nil {
			return nil, err
		}
	}
}

// isAt reports whether f is what path names.
func isAt(f *os.File, path string) (bool, error) {
	a, err := f.Stat()
	if err != nil {
		return false, err
	}
	b, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil && os.SameFile(a, b), err
}

// once makes the file or folder path, unless it is there, and returns it locked,
// shared. Of several that want it one makes it and the others wait. make gets
// it empty, under another name; what a crash left there is gone.
func once(ctx context.Context, path string, folder bool, make func(tmp string) error) (*os.File, error) {
	for {
		held, err := lockAt(ctx, path, unix.LOCK_SH)
		if !errors.Is(err, fs.ErrNotExist) {
			return held, err
		}
		if err := makeOnce(ctx, path, folder, make); err != nil {
			return nil, err
		}
	}
}

func makeOnce(ctx context.Context, path string, folder bool, make func(tmp string) error) (err error) {
	tmp := filepath.Join(filepath.Dir(path), newPrefix+filepath.Base(path))
	if folder {
		err = os.Mkdir(tmp, 0o700)
	} else {
		var f *os.File
		if f, err = os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600); err == nil {
			err = f.Close()
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	lock, err := lockAt(ctx, tmp, unix.LOCK_EX)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another made it, or gave up
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	if _, err := os.Lstat(path); err == nil {
		return os.RemoveAll(tmp)
	}
	if err = empty(tmp, folder); err == nil {
		err = make(tmp)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	return nil
}

// empty removes what is in a folder, or the content of a file.
func empty(path string, folder bool) error {
	if !folder {
		return os.Truncate(path, 0)
	}
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(path, e.Name())))
	}
	return err
}

// remove removes the file or folder path, unless somebody has it locked (ErrInUse). A crash
// in the middle leaves it under a name that counts as nothing.
func remove(path string) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // asked for once, not waited for
	lock, err := lockAt(ctx, path, unix.LOCK_EX)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, context.Canceled):
		return ErrInUse
	case err != nil:
		return err
	}
	defer lock.Close()
	old := filepath.Join(filepath.Dir(path), oldPrefix+filepath.Base(path))
	if err := os.RemoveAll(old); err != nil {
		return err
	}
	if err := os.Rename(path, old); err != nil {
		return err
	}
	return os.RemoveAll(old)
}
