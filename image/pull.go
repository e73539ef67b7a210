//go:build linux

package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
)

// layersAtOnce is how many layers are loaded at the same time, as docker does.
const layersAtOnce = 3

// Progress is told how many of how many bytes are there. It is called from
// several goroutines.
type Progress func(done, total int64)

// PullOptions say how an image is pulled.
type PullOptions struct {
	Platform v1.Platform
	Progress Progress // nil: nobody wants to know
}

// Pull loads an image from its registry into the store, and unpacks it where it
// can run here. A name that the store has gets its new meaning when all is well;
// a failure leaves the old one.
func (s *Store) Pull(ctx context.Context, ref Reference, o PullOptions) (Record, error) {
	rec, err := s.pull(ctx, ref, o)
	return rec, explain(ref, err)
}

func (s *Store) pull(ctx context.Context, ref Reference, o PullOptions) (Record, error) {
	if ref.kind != kindNamed {
		return Record{}, fault.WithHint(errors.New("it is not in a registry"), "load it: bulkhead image load "+ref.String())
	}
	r, err := newRepository(ref.name, authn.DefaultKeychain)
	if err != nil {
		return Record{}, err
	}
	return s.add(ctx, fullName(ref.name), o.Platform, func(ctx context.Context) (v1.Descriptor, error) { return s.fetch(ctx, r, o) })
}

// add gives a name to the image whose blobs fill brings into the store. What a
// refused image left is removed.
func (s *Store) add(ctx context.Context, full string, p v1.Platform, fill func(context.Context) (v1.Descriptor, error)) (Record, error) {
	lock, err := s.lock(ctx, unix.LOCK_SH)
	if err != nil {
		return Record{}, err
	}
	rec, err := s.added(ctx, full, p, fill)
	_ = lock.Close()
	if err != nil && !retriable(err) {
		err = errors.Join(err, s.sweepBlobs())
	}
	return rec, err
}

// retriable reports whether what was loaded completely serves another try.
func retriable(err error) bool {
	return !errors.Is(err, ErrHostile) && !errors.Is(err, errDigest) && !full(err)
}

// full reports whether a disk or a quota was full.
func full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

func (s *Store) added(ctx context.Context, full string, p v1.Platform, fill func(context.Context) (v1.Descriptor, error)) (Record, error) {
	d, err := fill(ctx)
	if err != nil {
		return Record{}, err
	}
	c, err := layout{s.dir}.read(d, p)
	if err != nil {
		return Record{}, err
	}
	if runsHere(p) {
		img, err := s.root(ctx, c)
		if err != nil {
			return Record{}, err
		}
		defer img.Close()
	}
	rec := Record{Name: full, ID: c.id, Manifest: d, Platform: p, Created: c.config.Created.Time, Added: time.Now().UTC()}
	for _, l := range c.layers {
		rec.Size += l.size
	}
	return rec, s.name(rec)
}

// fetch brings the blobs of an image into the store.
func (s *Store) fetch(ctx context.Context, r *repository, o PullOptions) (v1.Descriptor, error) {
	d, err := r.find(ctx, o.Platform)
	if err != nil {
		return d, err
	}
	text, err := r.manifest(ctx, d)
	if err != nil {
		return d, err
	}
	m, err := readManifest(text)
	if err != nil {
		return d, err
	}
	if m.Config.Size > maxDocument {
		return d, fmt.Errorf("%w: its configuration is larger than %d bytes", ErrHostile, maxDocument)
	}
	blobs := append(m.Layers, m.Config)
	var total int64
	for _, b := range blobs {
		if b.Size < 0 || b.Size > s.limits.bytes-total {
			return d, fmt.Errorf("%w: its layers are larger than the limit", ErrHostile)
		}
		total += b.Size
	}
	count := counter{total: total, tell: o.Progress}
	group, all := errgroup.WithContext(ctx) // over, when they are
	group.SetLimit(layersAtOnce)
	for _, b := range blobs {
		group.Go(func() error {
			if err := s.put(all, b, func(tmp string) error { return download(all, r, b, tmp, &count) }); err != nil {
				return fmt.Errorf("loading %s: %w", b.Digest, r.hinted(err))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return d, err
	}
	return d, s.put(ctx, d, func(tmp string) error { return os.WriteFile(tmp, text, 0o600) })
}

// download writes a blob into a file, again where the line broke.
func download(ctx context.Context, r *repository, d v1.Descriptor, tmp string, count *counter) error {
	for try := 1; ; try++ {
		err := store(ctx, tmp, count, func() (io.ReadCloser, error) { return r.open(ctx, d) })
		if err == nil || try == blobTries || !broken(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Duration(try) * time.Second):
		}
	}
}

// store writes what open returns into the file tmp, whole or with an error. What
// it counted before an error is taken back.
func store(ctx context.Context, tmp string, count *counter, open func() (io.ReadCloser, error)) error {
	in, err := open()
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	var n int64
	_, err = io.Copy(out, readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		got, err := in.Read(p)
		n += int64(got)
		count.add(int64(got))
		return got, err
	}))
	if err = errors.Join(err, out.Sync(), out.Close()); err != nil {
		count.add(-n)
	}
	return err
}

// counter sums what several loads have done.
type counter struct {
	done  atomic.Int64
	total int64
	tell  Progress
}

func (c *counter) add(n int64) {
	done := c.done.Add(n)
	if c.tell != nil {
		c.tell(done, c.total)
	}
}
