//go:build linux

package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
)

// Record is one name of the store and what it means.
type Record struct {
	// Name is complete: docker.io/library/debian:12.
	Name string
	// ID is the digest of the image's configuration.
	ID v1.Hash
	// Manifest names the image's manifest among the blobs.
	Manifest v1.Descriptor
	Platform v1.Platform
	// Size is how many bytes its layers have, as they are stored.
	Size int64
	// Created is when the image was made, as it says; Added when it came here.
	Created, Added time.Time
}

func (s *Store) namesDir() string { return filepath.Join(s.dir, "names") }

func (s *Store) nameFile(full string) string {
	sum := sha256.Sum256([]byte(full))
	return filepath.Join(s.namesDir(), hex.EncodeToString(sum[:])+".json")
}

// lock locks the store: shared, while something is added that nothing names yet;
// exclusive, to remove what nothing names.
func (s *Store) lock(ctx context.Context, how int) (*os.File, error) {
	// What is in an image may be secret, and no user of the host may run it.
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(ctx, f, how); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// name writes what a name means, in one step.
func (s *Store) name(r Record) error {
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.namesDir(), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(s.namesDir(), newPrefix)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), s.nameFile(r.Name))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// List returns the names of the store, in their order.
func (s *Store) List() ([]Record, error) {
	entries, err := os.ReadDir(s.namesDir())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []Record
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		var r Record
		err := readDocument(filepath.Join(s.namesDir(), e.Name()), &r)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b Record) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// minID is how much of an image's ID names it.
const minID = 4

// Find returns the record of a name, or those of an ID or its beginning, which
// may be of one image only. None: ErrUnknown.
func (s *Store) Find(text string) ([]Record, error) {
	ref, refErr := ParseReference(text)
	if refErr == nil && ref.kind == kindNamed {
		var r Record
		switch err := readDocument(s.nameFile(fullName(ref.name)), &r); {
		case err == nil:
			return []Record{r}, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	id := strings.TrimPrefix(text, "sha256:")
	if len(id) < minID || strings.Trim(id, "0123456789abcdef") != "" {
		return nil, ErrUnknown
	}
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	found := slices.DeleteFunc(all, func(r Record) bool { return !strings.HasPrefix(r.ID.Hex, id) })
	for _, r := range found {
		if r.ID != found[0].ID {
			return nil, fmt.Errorf("several images have an ID that begins so: %w", ErrUnknown)
		}
	}
	if len(found) == 0 {
		return nil, ErrUnknown
	}
	return found, nil
}

// ErrUnknown: the store has no such image.
var ErrUnknown = errors.New("not in the store")

// put stores what a descriptor names. Of several that want it one gets it.
func (s *Store) put(ctx context.Context, d v1.Descriptor, get func(tmp string) error) error {
	path, err := layout{s.dir}.path(d.Digest)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	held, err := once(ctx, path, false, get)
	if err != nil {
		return err
	}
	defer held.Close()
	info, err := held.Stat()
	if err == nil && info.Size() != d.Size {
		err = errBroken(d.Digest)
	}
	return err
}

// inUse reports whether a sandbox, or another process, has an image open.
func (s *Store) inUse(id v1.Hash) (bool, error) {
	roots, err := filepath.Glob(filepath.Join(s.rootsDir(), id.Hex+"-*"))
	if err != nil {
		return false, err
	}
	for _, root := range roots {
		f, err := os.Open(root)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}
