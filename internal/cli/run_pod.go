//go:build linux

package cli

import (
	"context"
	"errors"

	"github.com/bulkhead-dev/bulkhead/internal/runner"
)

func (f runFlags) podRequest(_ context.Context, _ Streams, _ []string) (runner.Request, error) {
	return runner.Request{}, errors.New("not there yet")
}
