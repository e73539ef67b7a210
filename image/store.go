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

// Open returns the image that ref names, unpacked. Two that open one image at
// the same time unpack it once; a crash or a full disk leaves nothing that counts
// as an image.
func (s *Store) Open(ctx context.Context, ref Reference) (*Image, error) {
	img, err := s.open(ctx, ref)
	if err == nil {
		return img, nil
	}
	err = fmt.Errorf("image %s: %w", ref, err)
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		err = fault.WithHint(err, "make room, or put the cache elsewhere by XDG_CACHE_HOME; nothing of the image was kept")
	case errors.Is(err, ErrHostile) && fault.Hint(err) == "":
		err = fault.WithHint(err, "nothing was run or kept; ask whoever made the image")
	}
	return nil, err
}

func (s *Store) open(ctx context.Context, ref Reference) (*Image, error) {
	switch ref.kind {
	case kindLayout:
		l := layout{ref.path}
		d, err := l.find(ref.tag)
		if err != nil {
			return nil, fault.WithHint(err, hintOr(err, "give a folder with oci-layout and index.json: oci:DIR[:TAG]"))
		}
		c, err := l.read(d)
		if err != nil {
			return nil, err
		}
		return s.root(ctx, c)
	default:
		a, err := openArchive(ref.path)
		if err != nil {
			return nil, err
		}
		defer a.close()
		i, err := a.find(ref.tag)
		if err != nil {
			return nil, err
		}
		c, err := a.read(i)
		if err != nil {
			return nil, err
		}
		return s.root(ctx, c)
	}
}

// hintOr keeps a hint that is more exact.
func hintOr(err error, hint string) string {
	if h := fault.Hint(err); h != "" {
		return h
	}
	return hint
}

// root returns an image's root file system, which it unpacks unless that is done.
func (s *Store) root(ctx context.Context, c *content) (*Image, error) {
	// What is in an image may be secret, and no user of the host may run it.
	roots := filepath.Join(s.dir, "roots")
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
	conf := c.config.Config
	return &Image{
		Root: sandbox.Root{Dir: filepath.Join(dir, rootName), Hold: dir}, ID: c.id.String(),
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
