package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/harden"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// stage is what is to be written into a folder that Bulkhead keeps: files that it
// wrote itself, and none that it did not.
type stage struct {
	folder string                   // as it was named
	target string                   // without links
	files  map[string][]harden.File // by the folder below
}

func newStage(folder string) *stage {
	return &stage{folder: folder, target: resolved(folder), files: map[string][]harden.File{}}
}

// build has kustomize build an overlay in a temporary folder beside the one that it
// is for: paths to what it is laid over stay on one file system.
func (s *stage) build(ctx context.Context, k kube, l *layer, o harden.Overlay) ([]*manifest.Object, error) {
	parent := filepath.Dir(s.target)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp(parent, ".bulkhead-")
	if err != nil {
		return nil, fault.WithHint(err, "name a folder in one that can be written: the overlay is built beside it first")
	}
	defer os.RemoveAll(temp)
	if o.Resources, err = l.from(temp); err != nil {
		return nil, err
	}
	files, err := o.Files()
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(temp, f.Path), f.Text, 0o600); err != nil {
			return nil, err
		}
	}
	batch := k.unit(ctx, manifest.Unit{Form: manifest.Kustomization, Path: temp})
	if len(batch.Errors) > 0 {
		return nil, fault.WithHint(errors.New(strings.ReplaceAll(batch.Errors[0].Reason, temp, s.folder)), batch.Errors[0].Hint)
	}
	return batch.Objects, nil
}

// publish writes the files, each as a whole and the kustomizations last, and takes
// out those of an earlier run that are no more. Where something else stands in the
// place of one, nothing is written.
func (s *stage) publish() ([]rewritten, []*manifest.Error) {
	refuse := func(path string, err error) []*manifest.Error {
		reason, hint := unwritten(err)
		if errors.Is(err, errForeign) {
			hint = "take it away, or name another folder; what you changed belongs into what is hardened, or into an overlay of this one"
		}
		return []*manifest.Error{{File: path, Reason: "not written: " + reason, Hint: hint}}
	}
	if err := os.MkdirAll(s.folder, 0o755); err != nil {
		return nil, refuse(s.folder, err)
	}
	root, err := os.OpenRoot(s.folder) // no link leads out of it
	if err != nil {
		return nil, refuse(s.folder, err)
	}
	defer func() { _ = root.Close() }()
	var out []rewritten
	for _, dir := range slices.Sorted(maps.Keys(s.files)) {
		for _, f := range s.files[dir] {
			rel := filepath.Join(dir, f.Path)
			old, err := mine(root, rel)
			if err != nil {
				return nil, refuse(filepath.Join(s.folder, rel), err)
			}
			out = append(out, rewritten{path: filepath.Join(s.folder, rel), old: old, new: f.Text})
		}
	}
	for i, f := range out {
		if bytes.Equal(f.old, f.new) {
			continue
		}
		rel, err := filepath.Rel(s.folder, f.path)
		if err == nil {
			err = put(root, rel, f.new)
		}
		if err != nil {
			return out, refuse(f.path, err)
		}
		out[i].written = f.path
	}
	for dir, files := range s.files {
		if err := sweep(root, dir, files); err != nil {
			return out, refuse(filepath.Join(s.folder, dir), err)
		}
	}
	return out, nil
}

var errForeign = errors.New("what stands there was not written by bulkhead harden, or was edited since")

// mine returns a file that Bulkhead wrote; nil where there is none.
func mine(root *os.Root, rel string) ([]byte, error) {
	info, err := root.Lstat(rel)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxOverlayFile {
		return nil, errForeign
	}
	f, err := root.Open(rel)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxOverlayFile))
	if err == nil && !harden.IsMarked(text) {
		err = errForeign
	}
	return text, err
}

// maxOverlayFile bounds what is read of a folder that somebody may have put
// anything into.
const maxOverlayFile = 16 << 20

// sweep removes files that Bulkhead wrote into a folder and that are not among the
// present ones.
func sweep(root *os.Root, dir string, files []harden.File) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	entries, err := d.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if slices.ContainsFunc(files, func(f harden.File) bool { return f.Path == e.Name() }) {
			continue
		}
		rel := filepath.Join(dir, e.Name())
		if text, err := mine(root, rel); err != nil || text == nil {
			continue // not Bulkhead's
		}
		if err := root.Remove(rel); err != nil {
			return fmt.Errorf("removing %s: %w", rel, err)
		}
	}
	return nil
}
