//go:build linux

package image

import (
	"context"
	"io"
)

// expansionFree is what a layer may have unpacked, however small it is.
const expansionFree = 64 << 20

// expansion is how many bytes a layer of a packed size may become.
func expansion(packed int64) int64 { return packed*maxExpansion + expansionFree }

// bounded ends a layer that grows without reason, or when ctx is over.
func bounded(ctx context.Context, r io.Reader, left int64) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := r.Read(p)
		if left -= int64(n); left < 0 {
			return 0, errExpansion
		}
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
