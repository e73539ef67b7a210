//go:build linux

package image

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/klauspost/compress/zstd"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
)

// maxZstdWindow is the window that `zstd --ultra --long=27` asks for.
const maxZstdWindow = 128 << 20

// rootName is the folder of the root file system in the folder of an unpacked image.
const rootName = "rootfs"

// writeRoot unpacks an image into dir, and adds what a sandbox needs: the guest
// agent, and places for its mounts.
func writeRoot(ctx context.Context, dir string, c *content, agent string, l limits) error {
	root := filepath.Join(dir, rootName)
	// Chmod, because the caller's umask must not decide what the guest may read.
	if err := errors.Join(os.Mkdir(root, 0o755), os.Chmod(root, 0o755)); err != nil {
		return err
	}
	u, err := newUnpacker(root, l)
	if err != nil {
		return err
	}
	defer u.close()
	for i, l := range c.layers {
		if err := applyLayer(ctx, u, l); err != nil {
			return fmt.Errorf("layer %d: %w", i+1, err)
		}
	}
	if err := addOwn(u, agent, c.config.Config.WorkingDir); err != nil {
		return err
	}
	if err := keepAccounts(u.root, dir); err != nil {
		return err
	}
	return writeEROFS(ctx, dir)
}

// applyLayer unpacks one layer and compares it with its digests.
func applyLayer(ctx context.Context, u *unpacker, l layer) error {
	if l.size < 0 || l.size > u.left.bytes {
		return fmt.Errorf("%w: a layer is larger than the limit", ErrHostile)
	}
	packed, err := l.open()
	if err != nil {
		return err
	}
	defer packed.Close()
	buffered := bufio.NewReaderSize(packed, 1<<16)
	err = applyPacked(ctx, u, buffered, l)
	// The rest belongs to the digest. A packed layer that is not what its digest
	// says is broken, whatever it did to the unpacking.
	if _, rest := io.Copy(io.Discard, bounded(ctx, buffered, l.size)); errors.Is(rest, errDigest) || err == nil {
		err = rest
	}
	return err
}

func applyPacked(ctx context.Context, u *unpacker, packed *bufio.Reader, l layer) error {
	plain, done, err := unpacked(packed)
	if err != nil {
		return err
	}
	defer done()
	allowed := expansion(l.size)
	h := sha256.New()
	r := io.TeeReader(bounded(ctx, plain, allowed), h)
	if err := u.layer(r, allowed); err != nil {
		return err
	}
	// What stands after the tar's end is part of the digest, too.
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != l.diffID.Hex {
		return errBroken(l.diffID)
	}
	return nil
}

// unpacked undoes a layer's compression, which its first bytes tell: docker's
// media type says gzip whatever it is.
func unpacked(r *bufio.Reader) (plain io.Reader, done func(), err error) {
	magic, err := r.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(r)
		return z, func() {}, err
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow), zstd.WithDecoderMaxMemory(maxZstdWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return r, func() {}, nil
}

// mountPlaces are the folders that a sandbox mounts on, or that hold such ones.
func mountPlaces() []string {
	return []string{"proc", "sys", "dev", "run", "tmp", "var", "var/tmp", "home", HomePath[1:], "work", "mnt", ".bulkhead"}
}

// addOwn adds the guest agent, the places that a sandbox mounts on, and the
// working directory, which docker would make.
func addOwn(u *unpacker, agent, workdir string) error {
	if err := u.root.RemoveAll(path.Dir(AgentPath)[1:]); err != nil {
		return err
	}
	for _, dir := range mountPlaces() {
		if err := addPlace(u, dir); err != nil {
			return fmt.Errorf("making a place for /%s: %w", dir, err)
		}
	}
	if workdir != "" {
		clean, err := inside(workdir)
		if err != nil {
			return fmt.Errorf("working directory %q: %w", workdir, err)
		}
		// Joined with a name, so that the last part is resolved as well.
		name, err := u.resolve(path.Join(clean, "x"))
		if err == nil {
			err = u.root.MkdirAll(path.Dir(name), 0o755)
		}
		if err != nil {
			return fmt.Errorf("making the working directory %q: %w", workdir, err)
		}
	}
	in, err := os.Open(agent)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := u.root.OpenFile(AgentPath[1:], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(0o755), out.Close())
}

// addPlace makes a folder where there is none. A link would be followed by
// whoever mounts, out of the root: a folder takes its place, except where that
// would hide what the image has.
func addPlace(u *unpacker, dir string) error {
	info, err := u.root.Lstat(dir)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil && dir == "var":
		return fault.WithHint(fmt.Errorf("%w: its /var is no folder", ErrHostile), "make an image whose /var is a folder")
	case err == nil:
		if err := u.root.Remove(dir); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if err := u.root.Mkdir(dir, 0o755); err != nil {
		return err
	}
	mode := fs.FileMode(0o755)
	if path.Base(dir) == "tmp" {
		mode = fs.ModeSticky | 0o777
	}
	return u.root.Chmod(dir, mode)
}
