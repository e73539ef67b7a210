//go:build linux

package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/image/imagetest"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
)

// TestBadImages: each is refused with a reason and a next step, and leaves nothing.
func TestBadImages(t *testing.T) {
	overwrite := func(path string, change func([]byte) []byte) {
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, change(text), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	manifest := func(i imagetest.Image) (v1.Hash, *v1.Manifest) {
		img := i.Build(t)
		m, err := img.Manifest()
		d, derr := img.Digest()
		if err = errors.Join(err, derr); err != nil {
			t.Fatal(err)
		}
		return d, m
	}
	flip := func(b []byte) []byte { b[len(b)-1] ^= 1; return b }
	index := func(dir string, change func(*v1.IndexManifest)) {
		overwrite(filepath.Join(dir, "index.json"), func(b []byte) []byte {
			var m v1.IndexManifest
			if err := json.Unmarshal(b, &m); err != nil {
				t.Fatal(err)
			}
			change(&m)
			b, _ = json.Marshal(m)
			return b
		})
	}
	for _, tt := range []struct {
		name, why string
		image     imagetest.Image
		change    func(dir string)
	}{
		{"no layout", "no such file", small(t), func(dir string) { os.RemoveAll(dir) }},
		{"a layout of another version", "known is 1.0.0", small(t), func(dir string) {
			overwrite(filepath.Join(dir, "oci-layout"), func([]byte) []byte { return []byte(`{"imageLayoutVersion":"2.0.0"}`) })
		}},
		{"an index of another schema", "known is 2", small(t), func(dir string) { index(dir, func(m *v1.IndexManifest) { m.SchemaVersion = 3 }) }},
		{"no index", "unexpected end of JSON", small(t), func(dir string) {
			overwrite(filepath.Join(dir, "index.json"), func([]byte) []byte { return nil })
		}},
		{"a huge index", "larger than", small(t), func(dir string) {
			overwrite(filepath.Join(dir, "index.json"), func([]byte) []byte { return bytes.Repeat([]byte(" "), maxDocument+1) })
		}},
		{"two images", "2 of its 2 images", small(t), func(dir string) {
			index(dir, func(m *v1.IndexManifest) { m.Manifests = append(m.Manifests, m.Manifests[0]) })
		}},
		{"no image", "0 of its 0 images", small(t), func(dir string) { index(dir, func(m *v1.IndexManifest) { m.Manifests = nil }) }},
		{"an artifact", "is not that of a container image", small(t), func(dir string) {
			d, m := manifest(small(t))
			m.Config.MediaType = "application/vnd.example+json"
			text, _ := json.Marshal(m)
			h, n, _ := v1.SHA256(bytes.NewReader(text))
			overwrite(imagetest.Blob(dir, d), func(b []byte) []byte { return b })
			if err := os.WriteFile(imagetest.Blob(dir, h), text, 0o644); err != nil {
				t.Fatal(err)
			}
			index(dir, func(m *v1.IndexManifest) { m.Manifests[0].Digest, m.Manifests[0].Size = h, n })
		}},
		{"an index in an index in an index", "an index in an index", small(t), func(dir string) {
			for range maxIndexes + 1 {
				text, err := os.ReadFile(filepath.Join(dir, "index.json"))
				h, n, serr := v1.SHA256(bytes.NewReader(text))
				if err = errors.Join(err, serr, os.WriteFile(imagetest.Blob(dir, h), text, 0o644)); err != nil {
					t.Fatal(err)
				}
				index(dir, func(m *v1.IndexManifest) {
					m.Manifests = []v1.Descriptor{{MediaType: types.OCIImageIndex, Digest: h, Size: n}}
				})
			}
		}},
		{"a changed manifest", "does not match its digest", small(t), func(dir string) {
			d, _ := manifest(small(t))
			overwrite(imagetest.Blob(dir, d), func(b []byte) []byte { return bytes.Replace(b, []byte(":2"), []byte(":3"), 1) })
		}},
		{"a changed configuration", "does not match its digest", small(t), func(dir string) {
			_, m := manifest(small(t))
			overwrite(imagetest.Blob(dir, m.Config.Digest), func(b []byte) []byte { return bytes.Replace(b, []byte("linux"), []byte("LINUX"), 1) })
		}},
		{"a changed layer", "does not match its digest", small(t), func(dir string) {
			_, m := manifest(small(t))
			overwrite(imagetest.Blob(dir, m.Layers[1].Digest), flip)
		}},
		{"a layer cut short", "does not match its digest", small(t), func(dir string) {
			_, m := manifest(small(t))
			overwrite(imagetest.Blob(dir, m.Layers[0].Digest), func(b []byte) []byte { return b[:len(b)/2] })
		}},
		{"a layer that goes on", "does not match its digest", small(t), func(dir string) {
			_, m := manifest(small(t))
			overwrite(imagetest.Blob(dir, m.Layers[0].Digest), func(b []byte) []byte { return append(b, 0) })
		}},
		{"a layer that is missing", "no such file", small(t), func(dir string) {
			_, m := manifest(small(t))
			_ = os.Remove(imagetest.Blob(dir, m.Layers[0].Digest))
		}},
		{"a pipe as a layer", "is not a file", small(t), func(dir string) {
			_, m := manifest(small(t))
			if err := errors.Join(os.Remove(imagetest.Blob(dir, m.Layers[0].Digest)), mkfifo(imagetest.Blob(dir, m.Layers[0].Digest))); err != nil {
				t.Fatal(err)
			}
		}},
		{"another platform", "0 of its 1 images", imagetest.Image{Layers: small(t).Layers, Arch: "s390x"}, func(string) {}},
		{"another platform that the index does not say", "it is for linux/s390x", imagetest.Image{Layers: small(t).Layers, Arch: "s390x"}, func(dir string) {
			index(dir, func(m *v1.IndexManifest) { m.Manifests[0].Platform = nil })
		}},
		{"a layer of an unknown type", "is not that of a container image", imagetest.Image{Layers: small(t).Layers, MediaType: "application/vnd.example.layer"}, func(string) {}},
		{"a layer to be had elsewhere", "is not that of a container image", imagetest.Image{Layers: small(t).Layers, MediaType: types.DockerForeignLayer}, func(string) {}},
		{"no layer", "names no layers", imagetest.Image{}, func(string) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "layout")
			tt.image.WriteLayout(t, dir, "")
			tt.change(dir)
			s := newStore(t)
			_, err := s.openText(t, "oci:"+dir)
			if err == nil || !strings.Contains(err.Error(), tt.why) {
				t.Fatalf("error %v, want one that says %q", err, tt.why)
			}
			if fault.Hint(err) == "" {
				t.Errorf("no next step: %v", err)
			}
			if left, err := os.ReadDir(filepath.Join(s.dir, "roots")); len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

// TestZeros: a megabyte that unpacks to a gigabyte is refused before it is written.
func TestZeros(t *testing.T) {
	var packed bytes.Buffer
	part := func(content []byte) {
		z := gzip.NewWriter(&packed)
		_, err := z.Write(content)
		if err = errors.Join(err, z.Close()); err != nil {
			t.Fatal(err)
		}
	}
	var header bytes.Buffer
	if err := tar.NewWriter(&header).WriteHeader(&tar.Header{Name: "zeros", Typeflag: tar.TypeReg, Size: 1 << 30}); err != nil {
		t.Fatal(err)
	}
	part(header.Bytes())
	for range 64 {
		part(make([]byte, 16<<20))
	}
	dir := t.TempDir()
	u, err := newUnpacker(dir, limits{entries: 10, bytes: 20 << 30})
	if err != nil {
		t.Fatal(err)
	}
	defer u.close()
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil }
	if err := applyLayer(t.Context(), u, layer{size: int64(packed.Len()), open: open}); !errors.Is(err, errExpansion) {
		t.Errorf("%d bytes: %v", packed.Len(), err)
	}
	if names, err := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("written: %v, %v", names, err)
	}
}

func mkfifo(path string) error { return unix.Mkfifo(path, 0o600) }
