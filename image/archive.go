//go:build linux

package image

import (
	"archive/tar"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
)

// maxArchiveEntries bounds the table of an archive.
const maxArchiveEntries = 1 << 16

// archive is a file that `docker save` wrote. Nothing in it is trusted.
type archive struct {
	f     *os.File
	files map[string]section
	links map[string]string
	// images are what it holds, as its manifest.json says.
	images []archived
}

type section struct{ offset, size int64 }

// archived is one image of an archive: names of files in it.
type archived struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// openArchive reads the table of an archive. Layers are read where they stand.
func openArchive(path string) (*archive, error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	a := &archive{f: f, files: map[string]section{}, links: map[string]string{}}
	if err := a.table(); err != nil {
		return nil, errors.Join(fault.WithHint(fmt.Errorf("reading archive %s: %w", path, err), "give an archive that `docker save` wrote; unpack it first where it is compressed"), f.Close())
	}
	return a, nil
}

func (a *archive) close() { _ = a.f.Close() }

func (a *archive) table() error {
	tr := tar.NewReader(a.f)
	for range maxArchiveEntries {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			text, err := a.document("manifest.json")
			if err != nil {
				return err
			}
			return json.Unmarshal(text, &a.images)
		}
		if err != nil {
			return err
		}
		name := path.Clean("/" + h.Name)
		switch h.Typeflag {
		case tar.TypeReg:
			if h.PAXRecords["GNU.sparse.major"] != "" {
				return fmt.Errorf("%w: %q is a sparse file", ErrHostile, h.Name)
			}
			offset, err := a.f.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			a.files[name] = section{offset, h.Size}
		case tar.TypeSymlink: // a layer that an earlier image of the archive has
			a.links[name] = path.Join(path.Dir(name), h.Linkname)
		case tar.TypeLink:
			a.links[name] = path.Clean("/" + h.Linkname)
		}
	}
	return fmt.Errorf("%w: it has too many files", ErrHostile)
}

// open returns a file of the archive.
func (a *archive) open(name string) (*io.SectionReader, error) {
	name = path.Clean("/" + name)
	if to, ok := a.links[name]; ok {
		name = to
	}
	s, ok := a.files[name]
	if !ok {
		return nil, fmt.Errorf("it has no file %q", strings.TrimPrefix(name, "/"))
	}
	return io.NewSectionReader(a.f, s.offset, s.size), nil
}

func (a *archive) document(name string) ([]byte, error) {
	r, err := a.open(name)
	if err != nil {
		return nil, err
	}
	if r.Size() > maxDocument {
		return nil, fmt.Errorf("%w: %q is larger than %d bytes", ErrHostile, name, maxDocument)
	}
	return io.ReadAll(r)
}

// find returns the image with that tag, or the only one.
func (a *archive) find(tag string) (archived, error) {
	var found []archived
	for _, i := range a.images {
		if tag == "" || slices.Contains(i.RepoTags, tag) {
			found = append(found, i)
		}
	}
	if len(found) != 1 {
		return archived{}, fault.WithHint(fmt.Errorf("%d images of the archive fit", len(found)), "name one by its tag: docker-archive:FILE:NAME:TAG")
	}
	return found[0], nil
}

// read reads one image of the archive.
func (a *archive) read(i archived, p v1.Platform) (*content, error) {
	text, err := a.document(i.Config)
	if err != nil {
		return nil, err
	}
	c, err := newContent(text, p)
	if err != nil {
		return nil, err
	}
	// The file is named by its digest.
	name := strings.TrimPrefix(strings.TrimSuffix(path.Base(i.Config), ".json"), "sha256:")
	if _, err := hex.DecodeString(name); err == nil && name != c.id.Hex {
		return nil, fault.WithHint(fmt.Errorf("configuration %s: %w", name, errDigest), "the archive is broken or was changed: make it again")
	}
	if len(i.Layers) != len(c.layers) {
		return nil, fmt.Errorf("%w: %d layers and %d digests of layers", ErrHostile, len(i.Layers), len(c.layers))
	}
	for n, name := range i.Layers {
		r, err := a.open(name)
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", n+1, err)
		}
		c.layers[n].size = r.Size()
		c.layers[n].open = func() (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(r, 0, r.Size())), nil
		}
	}
	return c, nil
}
