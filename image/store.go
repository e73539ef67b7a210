//go:build linux

package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/version"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// Store keeps a user's images, unpacked and shared between sandboxes. Several
// processes use it at the same time.
type Store struct {
	dir    string
	agent  string
	limits limits
}

// NewStore returns the store in cacheDir. agent is the guest agent's binary on
// the host, which every root file system gets.
func NewStore(cacheDir, agent string) *Store {
	return &Store{dir: filepath.Join(cacheDir, "images"), agent: agent, limits: limits{entries: 1 << 20, bytes: 20 << 30}}
}

// Image is a root file system with what its maker says about running it. As
// long as it is open, nobody removes it.
type Image struct {
	Root sandbox.Root
	// ID is the digest of the image's configuration, which covers its content.
	ID string
	// Env is the environment (K=V), Dir the working directory, User the user as
	// the image writes it, Entrypoint and Cmd the command.
	Env        []string
	Dir        string
	User       string
	Entrypoint []string
	Cmd        []string

	dir  string // what was unpacked
	held *os.File
}

// Close lets go of the image.
func (i *Image) Close() { _ = i.held.Close() }

// OpenOptions say what Open may do for a name of a registry.
type OpenOptions struct {
	// Always asks the registry even when the store has the name; Never does not
	// ask it at all. Neither: only when the store lacks it.
	Always, Never bool
	Progress      Progress
}

// Open returns the image that ref names, unpacked; a name of a registry is pulled
// first. Two that open one image at the same time load and unpack it once; a crash
// or a full disk leaves nothing that counts as an image.
func (s *Store) Open(ctx context.Context, ref Reference, o OpenOptions) (*Image, error) {
	img, err := s.open(ctx, ref, o)
	return img, explain(ref, err)
}

// explain adds which image an error is about, and the next step.
func explain(ref Reference, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("image %s: %w", ref, err)
	switch {
	case full(err):
		err = fault.WithHint(err, "make room (bulkhead image gc), or put the cache elsewhere by XDG_CACHE_HOME; nothing of the image was kept")
	case errors.Is(err, ErrHostile) && fault.Hint(err) == "":
		err = fault.WithHint(err, "nothing was run or kept; ask whoever made the image")
	}
	return err
}

func (s *Store) open(ctx context.Context, ref Reference, o OpenOptions) (*Image, error) {
	here, err := ParsePlatform("")
	if err != nil {
		return nil, err
	}
	if ref.kind == kindNamed {
		return s.openNamed(ctx, ref, o, here)
	}
	lock, err := s.lock(ctx, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if ref.kind == kindLayout {
		l := layout{ref.path}
		d, err := l.find(ref.tag, here)
		if err != nil {
			return nil, fault.WithHint(err, hintOr(err, "give a folder with oci-layout and index.json: oci:DIR[:TAG]"))
		}
		c, err := l.read(d, here)
		if err != nil {
			return nil, err
		}
		return s.root(ctx, c)
	}
	a, err := openArchive(ref.path)
	if err != nil {
		return nil, err
	}
	defer a.close()
	i, err := a.find(ref.tag)
	if err != nil {
		return nil, err
	}
	c, err := a.read(i, here)
	if err != nil {
		return nil, err
	}
	return s.root(ctx, c)
}

// openNamed opens an image of the store, and pulls it before as o says.
func (s *Store) openNamed(ctx context.Context, ref Reference, o OpenOptions, here v1.Platform) (*Image, error) {
	if o.Always {
		if _, err := s.pull(ctx, ref, PullOptions{Platform: here, Progress: o.Progress}); err != nil {
			return nil, err
		}
	}
	for pulled := o.Always; ; pulled = true {
		img, err := s.openRecord(ctx, ref, here)
		if !errors.Is(err, ErrUnknown) || pulled {
			return img, err
		}
		if o.Never {
			return nil, fault.WithHint(err, "pull it: bulkhead image pull "+ref.String())
		}
		if _, err := s.pull(ctx, ref, PullOptions{Platform: here, Progress: o.Progress}); err != nil {
			return nil, err
		}
	}
}

func (s *Store) openRecord(ctx context.Context, ref Reference, here v1.Platform) (*Image, error) {
	lock, err := s.lock(ctx, unix.LOCK_SH)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	found, err := s.Find(ref.text)
	if err != nil {
		return nil, err
	}
	c, err := layout{s.dir}.read(found[0].Manifest, here)
	if err != nil {
		return nil, err
	}
	return s.root(ctx, c)
}

// hintOr keeps a hint that is more exact.
func hintOr(err error, hint string) string {
	if h := fault.Hint(err); h != "" {
		return h
	}
	return hint
}

func (s *Store) rootsDir() string { return filepath.Join(s.dir, "roots") }

// root returns an image's root file system, which it unpacks unless that is done.
func (s *Store) root(ctx context.Context, c *content) (*Image, error) {
	roots := s.rootsDir()
	if err := os.MkdirAll(roots, 0o700); err != nil {
		return nil, err
	}
	key, err := s.rootKey()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(roots, c.id.Hex+"-"+key)
	held, err := once(ctx, dir, true, func(tmp string) error { return writeRoot(ctx, tmp, c, s.agent, s.limits) })
	if err != nil {
		return nil, err
	}
	file, err := erofs(dir)
	if err != nil {
		return nil, errors.Join(err, held.Close())
	}
	conf := c.config.Config
	return &Image{
		Root: sandbox.Root{Dir: filepath.Join(dir, rootName), EROFS: file, Hold: dir}, ID: c.id.String(),
		Env: conf.Env, Dir: conf.WorkingDir, User: conf.User, Entrypoint: conf.Entrypoint, Cmd: conf.Cmd,
		dir: dir, held: held,
	}, nil
}

// rootKey changes when what is added to an image does.
func (s *Store) rootKey() (string, error) {
	info, err := os.Stat(s.agent)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	fmt.Fprintln(h, rootForm, version.String(), info.Size(), info.ModTime().UnixNano())
	return hex.EncodeToString(h.Sum(nil))[:16], nil
}
