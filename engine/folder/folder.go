//go:build linux

// Package folder keeps the folders of sandboxes: one each, whose lock is held as
// long as anybody is there who will clean up. What is left when nobody is
// (everybody was killed) is swept by a later call.
package folder

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

const (
	// lockFile is in each folder: locked by who cleans it up.
	lockFile = "lock"
	// unnamed begins the name of a folder that is being made or removed: one
	// that has its name has its lock, too.
	unnamed = ".tmp-"
	// attempts bound how often a sweep may take a folder that is being made.
	attempts = 100
)

// Folder is a sandbox's folder, held by this process.
type Folder struct {
	// Dir is its path.
	Dir string
	// Lock holds the folder as long as it, or a copy of it in another process,
	// is open.
	Lock *os.File
}

// Take makes the folder of sandbox id of an engine in state. It appears under
// its name with its lock held.
func Take(state, engine, id string) (*Folder, error) {
	for range attempts {
		f, err := take(state, filepath.Join(state, engine+"-"+id))
		switch {
		case err == nil:
			return f, nil
		case errors.Is(err, fs.ErrExist), errors.Is(err, unix.ENOTEMPTY):
			return nil, fault.WithHint(fmt.Errorf("booting a sandbox: %s is taken", id), "choose another name")
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.EWOULDBLOCK):
			// A sweep took it for one that somebody left. When it is the state
			// folder itself that is missing, no attempt goes well.
		default:
			return nil, fmt.Errorf("making the sandbox's folder: %w", err)
		}
	}
	return nil, fmt.Errorf("making the sandbox's folder: no folder can be made in %s", state)
}

func take(state, dir string) (*Folder, error) {
	tmp := filepath.Join(state, unnamed+rand.Text())
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return nil, err
	}
	lock, err := lockAt(tmp, os.O_CREATE)
	if err == nil {
		// A rename never replaces a folder that holds something.
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		if lock != nil {
			_ = lock.Close()
		}
		return nil, errors.Join(err, removeAll(tmp))
	}
	return &Folder{Dir: dir, Lock: lock}, nil
}

// lockAt takes the lock of a folder. It fails with EWOULDBLOCK when somebody
// holds it, and with ErrNotExist when the folder is another one by now.
func lockAt(dir string, create int) (*os.File, error) {
	name := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(name, create|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		err = stillAt(f, name)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

func stillAt(f *os.File, name string) error {
	held, err := f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(name)
	if err != nil {
		return err
	}
	if !os.SameFile(held, there) {
		return fs.ErrNotExist
	}
	return nil
}

// Remove removes the folder and lets go of it. It is idempotent.
func (f *Folder) Remove() error {
	err := remove(f.Dir)
	_ = f.Lock.Close()
	return err
}

// remove takes the folder's name away before its lock goes.
func remove(dir string) error {
	tmp := filepath.Join(filepath.Dir(dir), unnamed+rand.Text())
	if err := os.Rename(dir, tmp); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return removeAll(tmp)
}

// removeAll removes a folder that a sweep may be about to lock or remove.
func removeAll(dir string) error {
	var err error
	for range attempts {
		if err = os.RemoveAll(dir); !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
	}
	return err
}

// Sweep calls clean for each sandbox of an engine that nobody holds any more,
// and removes its folder when that goes well. Any number of processes may sweep.
func Sweep(state, engine string, clean func(dir, id string) error) error {
	entries, err := os.ReadDir(state)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for what sandboxes left: %w", err)
	}
	var failed error
	for _, e := range entries {
		id, ours := strings.CutPrefix(e.Name(), engine+"-")
		making := strings.HasPrefix(e.Name(), unnamed)
		named := ours && sandbox.ValidID(id)
		if !e.IsDir() || (!making && !named) {
			continue
		}
		dir := filepath.Join(state, e.Name())
		create := 0
		if making {
			create = os.O_CREATE
		}
		lock, err := lockAt(dir, create)
		if err != nil {
			continue // it is held, or gone by now
		}
		if making {
			err = removeAll(dir)
		} else if err = clean(dir, id); err == nil {
			err = remove(dir)
		}
		_ = lock.Close()
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("cleaning up after sandbox %s: %w", id, err))
		}
	}
	return failed
}
