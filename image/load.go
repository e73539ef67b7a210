//go:build linux

package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
)

// Load copies an image of a layout or an archive, as ParseReference names it, into
// the store, under the name tag or, where that is empty, those that it has there.
func (s *Store) Load(ctx context.Context, text, tag string) ([]Record, error) {
	ref, err := ParseReference(text)
	if err != nil {
		return nil, err
	}
	records, err := s.load(ctx, ref, tag)
	return records, explain(ref, err)
}

// LoadFrom is Load of an archive that comes as a stream.
func (s *Store) LoadFrom(ctx context.Context, r io.Reader, tag string) ([]Record, error) {
	records, err := s.loadFrom(ctx, r, tag)
	return records, explain(Reference{text: "from standard input"}, err)
}

func (s *Store) loadFrom(ctx context.Context, r io.Reader, tag string) ([]Record, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(s.dir, newPrefix)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Without a name from here on, it is gone with this process.
	if err := os.Remove(f.Name()); err != nil {
		return nil, err
	}
	n, err := io.Copy(f, bounded(ctx, io.LimitReader(r, s.limits.bytes+1), s.limits.bytes+1))
	if err != nil {
		return nil, err
	}
	if n > s.limits.bytes {
		return nil, fmt.Errorf("%w: it is larger than the limit", ErrHostile)
	}
	return s.load(ctx, Reference{kind: kindArchive, path: fmt.Sprintf("/proc/self/fd/%d", f.Fd())}, tag)
}

func (s *Store) load(ctx context.Context, ref Reference, tag string) ([]Record, error) {
	here, err := ParsePlatform("")
	if err != nil {
		return nil, err
	}
	var names []string
	var fill func(context.Context) (v1.Descriptor, error)
	switch ref.kind {
	case kindLayout:
		l := layout{ref.path}
		d, err := l.find(ref.tag, here)
		if err != nil {
			return nil, fault.WithHint(err, hintOr(err, "give a folder with oci-layout and index.json: oci:DIR[:TAG]"))
		}
		if full := d.Annotations[imageNameAnnotation]; full != "" {
			names = []string{full}
		} else if own := d.Annotations[refNameAnnotation]; strings.ContainsAny(own, ":/") {
			names = []string{own}
		}
		fill = func(ctx context.Context) (v1.Descriptor, error) { return s.copyLayout(ctx, l, d) }
	case kindArchive:
		a, err := openArchive(ref.path)
		if err != nil {
			return nil, err
		}
		defer a.close()
		i, err := a.find(ref.tag)
		if err != nil {
			return nil, err
		}
		names = i.RepoTags
		fill = func(ctx context.Context) (v1.Descriptor, error) { return s.copyArchive(ctx, a, i, here) }
	default:
		return nil, fault.WithHint(errors.New("it is no archive and no folder"), "pull it: bulkhead image pull "+ref.String())
	}
	if tag != "" {
		names = []string{tag}
	}
	if len(names) == 0 {
		return nil, fault.WithHint(errors.New("it has no name of its own"), "give it one: --tag NAME:TAG")
	}
	var records []Record
	for _, n := range names {
		parsed, err := name.ParseReference(n)
		if err != nil {
			return nil, fault.WithHint(fmt.Errorf("%q is not a name for an image", n), "give it another: --tag NAME:TAG")
		}
		rec, err := s.add(ctx, fullName(parsed), here, fill)
		if err != nil {
			return nil, err
		}
		records = append(records, rec)
	}
	return records, nil
}

// copyLayout copies an image of a layout into the store.
func (s *Store) copyLayout(ctx context.Context, l layout, d v1.Descriptor) (v1.Descriptor, error) {
	text, err := l.blob(d)
	if err != nil {
		return d, err
	}
	m, err := readManifest(text)
	if err != nil {
		return d, err
	}
	for _, b := range append(m.Layers, m.Config, d) {
		err := s.put(ctx, b, func(tmp string) error {
			return store(ctx, tmp, &counter{}, func() (io.ReadCloser, error) { return l.open(b) })
		})
		if err != nil {
			return d, err
		}
	}
	return d, nil
}

// copyArchive copies an image of an archive into the store, and makes the manifest
// that it lacks. Layers are what the archive has: packed or not.
func (s *Store) copyArchive(ctx context.Context, a *archive, i archived, p v1.Platform) (v1.Descriptor, error) {
	c, err := a.read(i, p)
	if err != nil {
		return v1.Descriptor{}, err
	}
	config, err := a.document(i.Config)
	if err != nil {
		return v1.Descriptor{}, err
	}
	m := v1.Manifest{SchemaVersion: 2, MediaType: types.OCIManifestSchema1, Config: describe(config, types.OCIConfigJSON)}
	for _, l := range c.layers {
		d, err := s.copyLayer(ctx, l)
		if err != nil {
			return v1.Descriptor{}, err
		}
		m.Layers = append(m.Layers, d)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return v1.Descriptor{}, err
	}
	d := describe(text, m.MediaType)
	return d, errors.Join(s.putBytes(ctx, m.Config, config), s.putBytes(ctx, d, text))
}

// copyLayer copies a layer whose digest nobody said.
func (s *Store) copyLayer(ctx context.Context, l layer) (v1.Descriptor, error) {
	r, err := l.open()
	if err != nil {
		return v1.Descriptor{}, err
	}
	h := sha256.New()
	_, err = io.Copy(h, bounded(ctx, r, l.size))
	if err = errors.Join(err, r.Close()); err != nil {
		return v1.Descriptor{}, err
	}
	d := v1.Descriptor{MediaType: types.OCILayer, Size: l.size, Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}}
	return d, s.put(ctx, d, func(tmp string) error {
		return store(ctx, tmp, &counter{}, func() (io.ReadCloser, error) {
			r, err := l.open()
			if err != nil {
				return nil, err
			}
			return checkedFile{newChecked(r, d), r}, nil
		})
	})
}

func describe(content []byte, t types.MediaType) v1.Descriptor {
	sum := sha256.Sum256(content)
	return v1.Descriptor{MediaType: t, Size: int64(len(content)), Digest: v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}}
}

func (s *Store) putBytes(ctx context.Context, d v1.Descriptor, content []byte) error {
	return s.put(ctx, d, func(tmp string) error { return os.WriteFile(tmp, content, 0o600) })
}
