//go:build linux

package image

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
)

// Annotations that name an image in the index of a layout.
const (
	refNameAnnotation   = "org.opencontainers.image.ref.name"
	imageNameAnnotation = "io.containerd.image.name"
)

// maxDocument bounds an index, a manifest and a configuration. Registries take
// manifests of 4 MiB.
const maxDocument = 8 << 20

// maxIndexes is how many indexes may stand in each other.
const maxIndexes = 3

// errDigest: content is not what its digest says.
var errDigest = errors.New("content does not match its digest")

func errBroken(digest v1.Hash) error {
	return fault.WithHint(fmt.Errorf("%s: %w", digest, errDigest), "the copy is broken or was changed: make or pull it again")
}

// layout is a folder in the form of the OCI image layout. Nothing in it is
// trusted: index.json names digests, and all else is compared with them.
type layout struct{ dir string }

// index reads the layout's index.
func (l layout) index() (*v1.IndexManifest, error) {
	var form struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := readDocument(filepath.Join(l.dir, "oci-layout"), &form); err != nil {
		return nil, err
	}
	if form.Version != "1.0.0" {
		return nil, fmt.Errorf("the version of the layout is %q, known is 1.0.0", form.Version)
	}
	var index v1.IndexManifest
	if err := readDocument(filepath.Join(l.dir, "index.json"), &index); err != nil {
		return nil, err
	}
	if index.SchemaVersion != 2 {
		return nil, fmt.Errorf("the schema of index.json is %d, known is 2", index.SchemaVersion)
	}
	return &index, nil
}

// find returns the descriptor of the image with that tag or digest, or of the
// only one, for the platform.
func (l layout) find(tag string, p v1.Platform) (v1.Descriptor, error) {
	index, err := l.index()
	if err != nil {
		return v1.Descriptor{}, err
	}
	var named []v1.Descriptor
	for _, d := range index.Manifests {
		if tag == "" || tag == d.Digest.String() || tag == d.Annotations[refNameAnnotation] || tag == d.Annotations[imageNameAnnotation] {
			named = append(named, d)
		}
	}
	if tag != "" && len(named) == 0 {
		return v1.Descriptor{}, fault.WithHint(fmt.Errorf("the layout has no image %q", tag), "index.json names those that it has")
	}
	return choose(named, p, l.blob, 0)
}

// blob returns a small blob whole.
func (l layout) blob(d v1.Descriptor) ([]byte, error) {
	if d.Size > maxDocument {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrHostile, d.Digest, maxDocument)
	}
	r, err := l.open(d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// open opens a blob. Read to its end, it is what the descriptor says.
func (l layout) open(d v1.Descriptor) (io.ReadCloser, error) {
	path, err := l.path(d.Digest)
	if err != nil {
		return nil, err
	}
	f, err := openRegular(path)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, fault.WithHint(err, "let this user read it")
		}
		return nil, fault.WithHint(err, "the copy is incomplete: make or pull it again")
	}
	return checkedFile{newChecked(f, d), f}, nil
}

type checkedFile struct {
	io.Reader
	io.Closer
}

func (l layout) path(digest v1.Hash) (string, error) {
	if digest.Algorithm != "sha256" || len(digest.Hex) != 2*sha256.Size {
		return "", fmt.Errorf("%w: digest %q is not sha256", ErrHostile, digest)
	}
	return filepath.Join(l.dir, "blobs", "sha256", digest.Hex), nil
}

// openRegular opens a file; a pipe or device would block, or worse.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is not a file", path), f.Close())
	}
	return f, nil
}

func readDocument(path string, into any) error {
	f, err := openRegular(path)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxDocument+1))
	if err == nil && len(text) > maxDocument {
		err = fmt.Errorf("%w: it is larger than %d bytes", ErrHostile, maxDocument)
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}

// checked compares what is read with a descriptor: its end comes as io.EOF
// only when size and digest are right.
type checked struct {
	r    io.Reader
	want v1.Descriptor
	hash hash.Hash
	left int64
}

func newChecked(r io.Reader, want v1.Descriptor) *checked {
	return &checked{r: r, want: want, hash: sha256.New(), left: want.Size}
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.left -= int64(n)
	c.hash.Write(p[:n])
	if c.left < 0 || errors.Is(err, io.EOF) && (c.left > 0 || hex.EncodeToString(c.hash.Sum(nil)) != c.want.Digest.Hex) {
		return n, errBroken(c.want.Digest)
	}
	return n, err
}

// content is an image as it was found: its configuration and its layers, each
// of which was named by a digest.
type content struct {
	id     v1.Hash // the configuration's digest, which covers the content of all layers
	config v1.ConfigFile
	layers []layer
}

// layer is one packed layer.
type layer struct {
	size   int64 // as it is stored
	diffID v1.Hash
	// open returns the layer as it is stored, compared with its digest where
	// it has one.
	open func() (io.ReadCloser, error)
}

// read reads the image that a descriptor of the layout names.
func (l layout) read(d v1.Descriptor, p v1.Platform) (*content, error) {
	text, err := l.blob(d)
	if err != nil {
		return nil, err
	}
	manifest, err := readManifest(text)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if text, err = l.blob(manifest.Config); err != nil {
		return nil, err
	}
	c, err := newContent(text, p)
	if err != nil {
		return nil, err
	}
	if len(manifest.Layers) != len(c.layers) {
		return nil, fmt.Errorf("%w: %d layers and %d digests of layers", ErrHostile, len(manifest.Layers), len(c.layers))
	}
	for i, packed := range manifest.Layers {
		c.layers[i].size = packed.Size
		c.layers[i].open = func() (io.ReadCloser, error) { return l.open(packed) }
	}
	return c, nil
}

// readManifest reads the manifest of an image, whose parts are of types that can
// be used.
func readManifest(text []byte) (*v1.Manifest, error) {
	m, err := v1.ParseManifest(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHostile, err)
	}
	if !m.Config.MediaType.IsConfig() {
		return nil, notAnImage(m.Config.MediaType)
	}
	if n := len(m.Layers); n > maxLayers {
		return nil, fmt.Errorf("%w: it has %d layers, allowed are %d", ErrHostile, n, maxLayers)
	}
	for _, l := range m.Layers {
		if !l.MediaType.IsLayer() && l.MediaType != dockerZstd || !l.MediaType.IsDistributable() {
			return nil, notAnImage(l.MediaType)
		}
	}
	return m, nil
}

// dockerZstd is what docker calls a layer that it packed by zstd.
const dockerZstd types.MediaType = "application/vnd.docker.image.rootfs.diff.tar.zstd"

func notAnImage(t types.MediaType) error {
	return fault.WithHint(fmt.Errorf("its media type %q is not that of a container image", t), "give an OCI or docker image; artifacts of other kinds cannot be run")
}

// newContent reads an image's configuration, whose digest is the image's id.
// The layers have no source yet.
func newContent(config []byte, p v1.Platform) (*content, error) {
	c := &content{}
	sum := sha256.Sum256(config)
	c.id = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
	if err := json.Unmarshal(config, &c.config); err != nil {
		return nil, fmt.Errorf("reading the configuration of the image: %w", err)
	}
	if c.config.OS != p.OS || c.config.Architecture != p.Architecture {
		return nil, errPlatform(c.config.OS, c.config.Architecture, p)
	}
	if c.config.RootFS.Type != "layers" || len(c.config.RootFS.DiffIDs) == 0 {
		return nil, fmt.Errorf("%w: its configuration names no layers", ErrHostile)
	}
	if n := len(c.config.RootFS.DiffIDs); n > maxLayers {
		return nil, fmt.Errorf("%w: it has %d layers, allowed are %d", ErrHostile, n, maxLayers)
	}
	for _, kv := range c.config.Config.Env {
		if key, _, ok := strings.Cut(kv, "="); !ok || key == "" || strings.ContainsRune(kv, 0) {
			return nil, fmt.Errorf("%w: %q is not a variable of an environment", ErrHostile, kv)
		}
	}
	for _, id := range c.config.RootFS.DiffIDs {
		if id.Algorithm != "sha256" {
			return nil, fmt.Errorf("%w: digest %q is not sha256", ErrHostile, id)
		}
		c.layers = append(c.layers, layer{diffID: id})
	}
	return c, nil
}

// maxLayers is more than any image has: runtimes mount at most 128.
const maxLayers = 1024
