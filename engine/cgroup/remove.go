//go:build linux

package cgroup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// removeTimeout bounds the wait for the end of processes that were killed.
const removeTimeout = 10 * time.Second

// Remove kills what is in the groups of a sandbox whose runtime is gone, and
// removes them. It looks everywhere: who made them may have been in another
// group than the caller. No group is no error.
func Remove(id string) error {
	var failed error
	_ = filepath.WalkDir(unifiedRoot, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // a group that ended meanwhile is none
		}
		if d.Name() == Path(id) {
			failed = errors.Join(failed, removeGroup(dir))
			return fs.SkipDir
		}
		return nil
	})
	return failed
}

func removeGroup(dir string) error {
	for deadline := time.Now().Add(removeTimeout); ; {
		err := killAndRemove(dir)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("removing cgroup %s: %w", dir, err)
		}
		time.Sleep(2 * time.Millisecond) //nolint:forbidigo // the end of another's process has no event here
	}
}

// killAndRemove fails as long as a process of the group, or of one below it, ends.
func killAndRemove(dir string) error {
	var below []string
	err := filepath.WalkDir(dir, func(group string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		below = append(below, group)
		procs, _ := os.ReadFile(filepath.Join(group, "cgroup.procs"))
		for text := range strings.FieldsSeq(string(procs)) {
			if pid, err := strconv.Atoi(text); err == nil && pid > 0 {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		}
		return nil
	})
	for n := len(below) - 1; n >= 0; n-- { // the innermost first
		err = unix.Rmdir(below[n])
	}
	return err
}
