//go:build linux

package image

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/testbin"
)

// TestEROFS: an image becomes an EROFS image where the tool is there and works;
// elsewhere its folder serves.
func TestEROFS(t *testing.T) {
	testbin.Installed(t, "mkfs.erofs")
	dir := t.TempDir()
	small(t).WriteLayout(t, dir, "")
	img, err := newStore(t).openText(t, "oci:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	head := make([]byte, 1028)
	f, err := os.Open(img.Root.EROFS)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Read(head); err != nil || string(head[1024:]) != "\xe2\xe1\xf5\xe0" {
		t.Errorf("the magic number is %x, %v", head[1024:], err)
	}
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "mkfs.erofs"), []byte("#!/bin/sh\nfor f; do :; done\necho half > \"${f%/*}/rootfs.erofs\"\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"a tool that fails": bin, "no tool": t.TempDir()} {
		t.Setenv("PATH", path)
		img, err := newStore(t).openText(t, "oci:"+dir)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := os.Lstat(filepath.Join(img.dir, erofsName)); img.Root.EROFS != "" || !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %q, %v", name, img.Root.EROFS, err)
		}
		checkSmall(t, img)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	t.Setenv("PATH", bin)
	if err := writeEROFS(over, t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}
}

// TestErofsCommand: the exact host command.
func TestErofsCommand(t *testing.T) {
	if got := strings.Join(erofsArgs("f", "d", true), " "); got != "--quiet -E noinline_data -x -1 --preserve-mtime f d" {
		t.Error(got)
	}
	if !slices.Contains(erofsArgs("f", "d", false), "--all-root") {
		t.Error("an unprivileged user's files would have no owner inside")
	}
}
