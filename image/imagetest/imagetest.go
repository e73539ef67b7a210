// Package imagetest makes container images for tests, by another implementation
// than the one that reads them. Only tests import it.
package imagetest

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-containerregistry/pkg/compression"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/bulkhead-dev/bulkhead/internal/testbin"
)

// Entry is an entry of a layer. Its content's length is the header's size.
type Entry struct {
	tar.Header
	Content string
}

// File is a regular file.
func File(name, content string) Entry {
	return Entry{tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644}, content}
}

// Folder is a folder.
func Folder(name string, mode int64) Entry {
	return Entry{Header: tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: mode}}
}

// Link is a symbolic link, or a hard one.
func Link(kind byte, name, to string) Entry {
	return Entry{Header: tar.Header{Name: name, Typeflag: kind, Linkname: to, Mode: 0o777}}
}

// Layer returns the tar stream of a layer.
func Layer(t testing.TB, entries ...Entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		e.Size = int64(len(e.Content))
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(e.Content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Image is what an image is made from. The zero platform is this machine's, the
// zero compression gzip.
type Image struct {
	Layers      [][]byte
	Config      v1.Config
	Arch        string
	Compression compression.Compression
	MediaType   types.MediaType // of the layers; empty: OCI's
}

// Busybox is an image in which programs run: a static busybox, and its shell.
func Busybox(t testing.TB) Image {
	t.Helper()
	busybox, err := os.ReadFile(testbin.Installed(t, "busybox"))
	if err != nil {
		t.Fatal(err)
	}
	program := File("bin/busybox", string(busybox))
	program.Mode = 0o755
	entries := []Entry{Folder("bin", 0o755), program}
	for _, name := range []string{"sh", "id", "cat", "ls", "echo", "uname", "env", "touch", "stat", "sleep", "pwd", "true", "grep", "readlink"} {
		entries = append(entries, Link(tar.TypeSymlink, "bin/"+name, "busybox"))
	}
	return Image{Layers: [][]byte{Layer(t, entries...)}, Config: v1.Config{Cmd: []string{"sh"}}}
}

// Build returns the image.
func (i Image) Build(t testing.TB) v1.Image {
	t.Helper()
	arch := i.Arch
	if arch == "" {
		arch = runtime.GOARCH
	}
	img, err := mutate.ConfigFile(mutate.MediaType(empty.Image, types.OCIManifestSchema1), &v1.ConfigFile{OS: "linux", Architecture: arch, Config: i.Config, RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		t.Fatal(err)
	}
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	mediaType := i.MediaType
	if mediaType == "" {
		mediaType = types.OCILayer
	}
	options := []tarball.LayerOption{tarball.WithMediaType(mediaType)}
	if i.Compression != "" {
		options = append(options, tarball.WithCompression(i.Compression))
	}
	for _, content := range i.Layers {
		l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }, options...)
		if err != nil {
			t.Fatal(err)
		}
		if img, err = mutate.Append(img, mutate.Addendum{Layer: l, MediaType: mediaType}); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

// WriteLayout adds the image to the OCI layout in dir, which it makes.
func (i Image) WriteLayout(t testing.TB, dir, tag string) {
	t.Helper()
	p, err := layout.FromPath(dir)
	if err != nil {
		if p, err = layout.Write(dir, empty.Index); err != nil {
			t.Fatal(err)
		}
	}
	var options []layout.Option
	if tag != "" {
		options = append(options, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": tag}))
	}
	if i.Arch != "" {
		options = append(options, layout.WithPlatform(v1.Platform{OS: "linux", Architecture: i.Arch}))
	}
	if err := p.AppendImage(i.Build(t), options...); err != nil {
		t.Fatal(err)
	}
	// Other users' tests read it.
	blobs, err := filepath.Glob(filepath.Join(dir, "blobs", "sha256", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blobs {
		if err := os.Chmod(b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// WriteArchive writes the image as `docker save` does: layers as they are, files
// named by digest.
func (i Image) WriteArchive(t testing.TB, file string, tags ...string) {
	t.Helper()
	config, err := i.Build(t).RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	blob := func(content []byte) Entry {
		sum := sha256.Sum256(content)
		return File("blobs/sha256/"+hex.EncodeToString(sum[:]), string(content))
	}
	entries := []Entry{Folder("blobs/sha256", 0o755), blob(config)}
	manifest := map[string]any{"Config": entries[1].Name, "RepoTags": tags}
	var names []string
	for _, l := range i.Layers {
		e := blob(l)
		entries, names = append(entries, e), append(names, e.Name)
	}
	manifest["Layers"] = names
	text, err := json.Marshal([]any{manifest})
	if err != nil {
		t.Fatal(err)
	}
	entries = append(entries, File("manifest.json", string(text)))
	if err := os.WriteFile(file, Layer(t, entries...), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Blob returns the path of a blob in a layout, by the digest of a descriptor.
func Blob(dir string, digest v1.Hash) string {
	return filepath.Join(dir, "blobs", digest.Algorithm, digest.Hex)
}

// Agent writes a file that stands for the guest agent.
func Agent(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bulkhead-guest")
	if err := os.WriteFile(path, []byte("agent"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}
