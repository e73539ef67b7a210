//go:build linux

package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/bulkhead-dev/bulkhead/image/imagetest"
)

func newStore(t *testing.T) *Store {
	t.Helper()
	return NewStore(t.TempDir(), imagetest.Agent(t))
}

func (s *Store) openText(t *testing.T, text string) (*Image, error) {
	t.Helper()
	ref, err := ParseReference(text)
	if err != nil {
		t.Fatal(err)
	}
	img, err := s.Open(t.Context(), ref, OpenOptions{})
	if err == nil {
		t.Cleanup(img.Close)
	}
	return img, err
}

func small(t testing.TB) imagetest.Image {
	return imagetest.Image{
		Layers: [][]byte{
			imagetest.Layer(t, imagetest.File("etc/a", "1"), imagetest.File("etc/b", "1")),
			imagetest.Layer(t, imagetest.File("etc/.wh.b", ""), imagetest.File("etc/c", "2")),
		},
		Config: v1.Config{Env: []string{"A=1"}, WorkingDir: "/srv/app", User: "1000:1000", Entrypoint: []string{"/init"}, Cmd: []string{"serve"}},
	}
}

// checkSmall: the root has what the layers of small make, and what a sandbox needs.
func checkSmall(t *testing.T, img *Image) {
	t.Helper()
	want := []string{
		".bulkhead/", ".bulkhead/bulkhead-guest=agent", "dev/", "etc/", "etc/a=1", "etc/c=2", "home/", "home/user/", "mnt/", "proc/", "run/",
		"srv/", "srv/app/", "sys/", "tmp/", "var/", "var/tmp/", "work/",
	}
	if diff := cmp.Diff(want, tree(t, img.Root.Dir)); diff != "" {
		t.Errorf("root (-want +got)\n%s", diff)
	}
	for _, name := range []string{"tmp", "var/tmp"} {
		if info, err := os.Stat(filepath.Join(img.Root.Dir, name)); err != nil || info.Mode() != fs.ModeDir|fs.ModeSticky|0o777 {
			t.Errorf("/%s has mode %v, %v", name, info.Mode(), err)
		}
	}
	if img.Dir != "/srv/app" || img.User != "1000:1000" || fmt.Sprint(img.Env, img.Entrypoint, img.Cmd) != "[A=1] [/init] [serve]" {
		t.Errorf("configuration %+v", img)
	}
}

// TestSources: one image in every form is one root.
func TestSources(t *testing.T) {
	s := newStore(t)
	dir := t.TempDir()
	var ids []string
	for _, tt := range []struct {
		name        string
		compression compression.Compression
		mediaType   types.MediaType
	}{
		{"gzip", compression.GZip, types.OCILayer},
		{"zstd", compression.ZStd, types.OCILayerZStd},
		{"plain", compression.None, types.OCIUncompressedLayer},
		{"docker", compression.GZip, types.DockerLayer},
		{"docker's zstd", compression.ZStd, dockerZstd},
	} {
		t.Run(tt.name, func(t *testing.T) {
			i := small(t)
			i.Compression, i.MediaType = tt.compression, tt.mediaType
			i.WriteLayout(t, filepath.Join(dir, tt.name), "v1")
			img, err := newStore(t).openText(t, "oci:"+filepath.Join(dir, tt.name)+":v1")
			if err != nil {
				t.Fatal(err)
			}
			checkSmall(t, img)
			if img, err = s.openText(t, "oci:"+filepath.Join(dir, tt.name)); err != nil {
				t.Fatal(err)
			}
			ids = append(ids, img.ID)
		})
	}
	t.Run("docker save", func(t *testing.T) {
		file := filepath.Join(dir, "a.tar")
		small(t).WriteArchive(t, file, "app:v1")
		for _, text := range []string{"docker-archive:" + file, "docker-archive:" + file + ":app:v1"} {
			img, err := newStore(t).openText(t, text)
			if err != nil {
				t.Fatal(err)
			}
			checkSmall(t, img)
			ids = append(ids, img.ID)
		}
	})
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("ids differ: %v", ids)
			break
		}
	}
	if roots, err := os.ReadDir(filepath.Join(s.dir, "roots")); len(roots) != 1 {
		t.Errorf("one image has the roots %v, %v", roots, err)
	}
}

// TestPlaces: what the image has where a sandbox mounts.
func TestPlaces(t *testing.T) {
	i := imagetest.Image{Layers: [][]byte{imagetest.Layer(t,
		imagetest.Link(tar.TypeSymlink, "tmp", "var/tmp"), imagetest.Link(tar.TypeSymlink, "run", "/nowhere"), imagetest.File("work", "a file"),
		imagetest.File("home/user/.profile", "kept"), imagetest.File(".bulkhead/bulkhead-guest", "another agent"),
		imagetest.Folder("data", 0o755), imagetest.Link(tar.TypeSymlink, "app", "data"),
	)}, Config: v1.Config{WorkingDir: "/app/sub"}}
	dir := t.TempDir()
	i.WriteLayout(t, dir, "")
	img, err := newStore(t).openText(t, "oci:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		".bulkhead/", ".bulkhead/bulkhead-guest=agent", "app -> data", "data/", "data/sub/", "dev/", "home/", "home/user/", "home/user/.profile=kept",
		"mnt/", "proc/", "run/", "sys/", "tmp/", "var/", "var/tmp/", "work/",
	}
	if diff := cmp.Diff(want, tree(t, img.Root.Dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	i.Layers = [][]byte{imagetest.Layer(t, imagetest.Link(tar.TypeSymlink, "var", "data"))}
	dir = t.TempDir()
	i.WriteLayout(t, dir, "")
	if _, err := newStore(t).openText(t, "oci:"+dir); !errors.Is(err, ErrHostile) {
		t.Errorf("a linked /var: %v", err)
	}
}

// TestOpenAtOnce: many that open one image unpack it once, and all have it whole.
func TestOpenAtOnce(t *testing.T) {
	dir := t.TempDir()
	small(t).WriteLayout(t, dir, "")
	s := newStore(t)
	ref, err := ParseReference("oci:" + dir)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			img, err := s.Open(t.Context(), ref, OpenOptions{})
			if err != nil {
				t.Error(err)
				return
			}
			defer img.Close()
			checkSmall(t, img)
		})
	}
	all.Wait()
	if names, err := os.ReadDir(filepath.Join(s.dir, "roots")); len(names) != 1 {
		t.Errorf("left %v, %v", names, err)
	}
}

// TestAfterACrash: what a crash left is neither used nor in the way.
func TestAfterACrash(t *testing.T) {
	dir := t.TempDir()
	small(t).WriteLayout(t, dir, "")
	s := newStore(t)
	img, err := s.openText(t, "oci:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Dir(img.Root.Dir)
	img.Close()
	half := filepath.Join(filepath.Dir(root), newPrefix+filepath.Base(root))
	if err := errors.Join(os.Rename(root, half), os.WriteFile(filepath.Join(half, "rootfs", "old"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	if img, err = s.openText(t, "oci:"+dir); err != nil {
		t.Fatal(err)
	}
	checkSmall(t, img)
}

// TestOpenEnds: a wait for another, and the work itself, end with their context.
func TestOpenEnds(t *testing.T) {
	dir := t.TempDir()
	i := small(t)
	i.Layers = append(i.Layers, imagetest.Layer(t, imagetest.File("large", strings.Repeat("x", 10<<20))))
	i.WriteLayout(t, dir, "")
	s := newStore(t)
	ref, err := ParseReference("oci:" + dir)
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Open(over, ref, OpenOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that is over: %v", err)
	}
	started, release := make(chan string), make(chan struct{})
	done := make(chan error)
	path := filepath.Join(t.TempDir(), "x")
	go func() {
		f, err := once(context.Background(), path, true, func(tmp string) error { started <- tmp; <-release; return nil })
		if err == nil {
			err = f.Close()
		}
		done <- err
	}()
	<-started
	ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	if _, err := once(ctx, path, true, func(string) error { return errors.New("made twice") }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for another: %v", err)
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestRemove: what somebody has open stays.
func TestRemove(t *testing.T) {
	dir := t.TempDir()
	small(t).WriteLayout(t, dir, "")
	s := newStore(t)
	img, err := s.openText(t, "oci:"+dir)
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Dir(img.Root.Dir)
	if err := remove(root); !errors.Is(err, ErrInUse) {
		t.Errorf("in use: %v", err)
	}
	checkSmall(t, img)
	img.Close()
	if err := remove(root); err != nil {
		t.Error(err)
	}
	if names, err := os.ReadDir(filepath.Dir(root)); len(names) != 0 {
		t.Errorf("left %v, %v", names, err)
	}
}
