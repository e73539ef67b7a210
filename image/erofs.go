//go:build linux

package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// erofsName is the root file system as one file, in the folder of an unpacked image.
const erofsName = "rootfs.erofs"

// erofsTimeout bounds the making of one; a gigabyte takes seconds.
const erofsTimeout = 5 * time.Minute

// writeEROFS writes the root file system in dir once more, as an EROFS image,
// where mkfs.erofs is installed. gVisor reads that itself, without a process that
// opens files for it. Where it cannot be had the folder serves, only slower: so
// nothing but ctx makes this fail.
func writeEROFS(ctx context.Context, dir string) error {
	tool, err := exec.LookPath("mkfs.erofs")
	if err != nil {
		return nil //nolint:nilerr // it is not installed
	}
	bounded, cancel := context.WithTimeout(ctx, erofsTimeout)
	defer cancel()
	file := filepath.Join(dir, erofsName)
	cmd := exec.CommandContext(bounded, tool, erofsArgs(file, filepath.Join(dir, rootName), os.Geteuid() == 0)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.WaitDelay = time.Second
	if cmd.Run() == nil {
		return os.Chmod(file, 0o644)
	}
	return errors.Join(ctx.Err(), os.RemoveAll(file))
}

// erofsArgs is the exact command line.
func erofsArgs(file, root string, owners bool) []string {
	// gVisor reads no data that is stored beside an inode. Extended attributes
	// could only be the host's own labels: unpacking writes none.
	args := []string{"--quiet", "-E", "noinline_data", "-x", "-1", "--preserve-mtime"}
	if !owners {
		// What an unprivileged user unpacks is the user's; inside, that is root.
		args = append(args, "--all-root")
	}
	return append(args, file, root)
}

// erofs returns the EROFS image of an unpacked image; empty: there is none.
func erofs(dir string) (string, error) {
	file := filepath.Join(dir, erofsName)
	info, err := os.Lstat(file)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", nil
	case err == nil && !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a file", file)
	}
	return file, err
}
