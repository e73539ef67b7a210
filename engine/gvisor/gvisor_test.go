//go:build linux

package gvisor_test

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/engine/gvisor"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
	"github.com/bulkhead-dev/bulkhead/sandbox"
	"github.com/bulkhead-dev/bulkhead/sandbox/sandboxtest"
)

func TestConformance(t *testing.T) {
	sandboxtest.Run(t, func(t *testing.T, stateDir string) sandbox.Engine {
		return gvisor.New(gvisor.Config{Supervisor: testbin.Path(t, "bulkhead-runsc"), StateDir: stateDir})
	})
}

func TestConformanceUnprivileged(t *testing.T) {
	sandboxtest.Unprivileged(t, "testdata/skipped-unprivileged.txt")
}
