//go:build linux

package runner

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/docker/go-units"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
)

// ErrOutput: a command wrote more than Execution.OutputBytes.
var ErrOutput = errors.New("the command was killed: its output reached the limit")

// budget is what a command may still write, to all of its streams together.
type budget struct {
	mu    sync.Mutex
	bytes int64 // the whole
	left  int64
}

// Bound returns writers to the given ones that fail when more than a number of
// bytes was written to all of them together. What is within it is passed on.
func Bound(bytes int64, to ...io.Writer) []io.Writer {
	b := &budget{bytes: bytes, left: bytes}
	out := make([]io.Writer, len(to))
	for i, w := range to {
		if w != nil {
			out[i] = budgetWriter{b, w}
		}
	}
	return out
}

type budgetWriter struct {
	budget *budget
	to     io.Writer
}

func (w budgetWriter) Write(p []byte) (int, error) {
	b := w.budget
	b.mu.Lock()
	defer b.mu.Unlock()
	within := p[:min(int64(len(p)), b.left)]
	n, err := w.to.Write(within)
	b.left -= int64(n)
	if err == nil && len(within) < len(p) {
		err = fault.WithHint(fault.WithCode(fmt.Errorf("%w of %s", ErrOutput, units.BytesSize(float64(b.bytes))), fault.Memory),
			"let it write more: --output-limit")
	}
	return n, err
}
