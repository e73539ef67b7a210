//go:build linux

package runner

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/docker/go-units"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
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

// bounded returns the command with output that fails beyond a number of bytes.
// What is within it is passed on.
func bounded(c agent.Command, bytes int64) agent.Command {
	b := &budget{bytes: bytes, left: bytes}
	if c.Stdout != nil {
		c.Stdout = budgetWriter{b, c.Stdout}
	}
	if c.Stderr != nil {
		c.Stderr = budgetWriter{b, c.Stderr}
	}
	return c
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
