//go:build linux

package image

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/image/imagetest"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
)

// TestPullAtOnce: of several that pull one image, each layer is loaded by one.
func TestPullAtOnce(t *testing.T) {
	r := newRegistry(t)
	img := r.push(t, small(t), "app:v1")
	dir, agent := t.TempDir(), imagetest.Agent(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			// A store of its own locks as another process does.
			if _, err := NewStore(dir, agent).pullText(t, r.host+"/app:v1", ""); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, l := range layers(t, img) {
		n, _ := r.gets.Load("/v2/app/blobs/" + l.Digest.String())
		if got := n.(*atomic.Int32).Load(); got != 1 {
			t.Errorf("layer %s was loaded %d times", l.Digest, got)
		}
	}
}

// TestFullDisk: a disk that is full in the middle of an image.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	cache := t.TempDir()
	if err := unix.Mount("tmpfs", cache, "tmpfs", 0, "size=2m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(cache, 0); err != nil {
			t.Error(err)
		}
	})
	noise := func(n int) string {
		b := make([]byte, n)
		for i, x := 0, uint32(1); i < n; i++ {
			x = x*1664525 + 1013904223
			b[i] = byte(x >> 24)
		}
		return string(b)
	}
	for name, i := range map[string]imagetest.Image{
		"by what is loaded":   {Layers: [][]byte{imagetest.Layer(t, imagetest.File("a", noise(3<<20)))}},
		"by what is unpacked": {Layers: [][]byte{imagetest.Layer(t, imagetest.File("a", strings.Repeat("x", 3<<20)))}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t)
			r.push(t, i, "app:v1")
			i.WriteLayout(t, filepath.Join(cache, "..", "layout"), "v1")
			defer os.RemoveAll(filepath.Join(cache, "..", "layout"))
			s := NewStore(cache, imagetest.Agent(t))
			_, err := s.pullText(t, r.host+"/app:v1", "")
			if !errors.Is(err, unix.ENOSPC) || !strings.Contains(fault.Hint(err), "make room") {
				t.Errorf("%v, next: %s", err, fault.Hint(err))
			}
			if got := left(t, s); got != "0 names, 0 roots, 0 blobs/sha256" {
				t.Errorf("left: %s", got)
			}
			var st unix.Statfs_t
			if err := unix.Statfs(cache, &st); err != nil || st.Blocks-st.Bfree > 2 {
				t.Errorf("%d blocks are taken, %v", st.Blocks-st.Bfree, err)
			}
		})
	}
}

// TestRemoveNames: an image goes with its last name, and not while it is used.
func TestRemoveNames(t *testing.T) {
	r := newRegistry(t)
	r.push(t, small(t), "app:v1")
	r.push(t, small(t), "app:v2")
	other := small(t)
	other.Layers = append(other.Layers, imagetest.Layer(t, imagetest.File("more", "1")))
	r.push(t, other, "other:v1")
	s := newStore(t)
	for _, tag := range []string{"/app:v1", "/app:v2", "/other:v1"} {
		if _, err := s.pullText(t, r.host+tag, ""); err != nil {
			t.Fatal(err)
		}
	}
	// Two images share two layers.
	if got := left(t, s); got != "3 names, 2 roots, 7 blobs/sha256" {
		t.Error(got)
	}
	img, err := s.openText(t, r.host+"/app:v1")
	if err != nil {
		t.Fatal(err)
	}
	id := strings.TrimPrefix(img.ID, "sha256:")[:12]
	if _, err := s.Remove(t.Context(), id, false); err == nil || !strings.Contains(err.Error(), "has 2 names") || fault.Hint(err) == "" {
		t.Errorf("by an ID of two names: %v", err)
	}
	if got, err := s.Remove(t.Context(), r.host+"/app:v2", false); err != nil || len(got.Names) != 1 || len(got.IDs) != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := s.Remove(t.Context(), r.host+"/app:v1", true); !errors.Is(err, ErrInUse) || fault.Hint(err) == "" {
		t.Errorf("in use: %v", err)
	}
	if got, err := s.GC(t.Context(), true); err != nil || fmt.Sprint(got.Names) != fmt.Sprintf("[%s/other:v1]", r.host) {
		t.Errorf("%+v, %v", got, err)
	}
	if got := left(t, s); got != "1 names, 1 roots, 4 blobs/sha256" {
		t.Error(got)
	}
	checkSmall(t, img)
	img.Close()
	if got, err := s.Remove(t.Context(), id, false); err != nil || len(got.IDs) != 1 || got.Bytes == 0 {
		t.Errorf("%+v, %v", got, err)
	}
	if got := left(t, s); got != "0 names, 0 roots, 0 blobs/sha256" {
		t.Error(got)
	}
	if _, err := s.Remove(t.Context(), id, false); !errors.Is(err, ErrUnknown) || fault.Hint(err) == "" {
		t.Errorf("removed twice: %v", err)
	}
}

// TestGC: what crashes left goes, what is named stays.
func TestGC(t *testing.T) {
	r := newRegistry(t)
	r.push(t, small(t), "app:v1")
	s := newStore(t)
	if _, err := s.pullText(t, r.host+"/app:v1", ""); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	other := small(t)
	other.Config.Cmd = []string{"another"}
	other.WriteLayout(t, dir, "")
	unnamed, err := s.openText(t, "oci:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"blobs/sha256/" + newPrefix + "a", "blobs/sha256/" + strings.Repeat("0", 64), "names/" + newPrefix + "b", "roots/" + newPrefix + "c", "roots/" + oldPrefix + "d", "roots/" + strings.Repeat("1", 64) + "-0"} {
		path := filepath.Join(s.dir, name)
		if err := os.WriteFile(path, bytes.Repeat([]byte("x"), 10000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.GC(t.Context(), false)
	if err != nil || len(got.Names) != 0 || got.Bytes < 60000 {
		t.Errorf("%+v, %v", got, err)
	}
	if got := left(t, s); got != "1 names, 2 roots, 4 blobs/sha256" {
		t.Error(got)
	}
	unnamed.Close()
	if _, err := s.GC(t.Context(), false); err != nil {
		t.Error(err)
	}
	if got := left(t, s); got != "1 names, 1 roots, 4 blobs/sha256" {
		t.Error(got)
	}
}
