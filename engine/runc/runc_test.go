//go:build linux

package runc_test

import (
	"testing"

	"github.com/bulkhead-dev/bulkhead/engine/runc"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
	"github.com/bulkhead-dev/bulkhead/sandbox"
	"github.com/bulkhead-dev/bulkhead/sandbox/sandboxtest"
)

func TestConformance(t *testing.T) {
	sandboxtest.Run(t, func(t *testing.T, stateDir string) sandbox.Engine {
		return runc.New(runc.Config{Runc: testbin.Installed(t, "runc"), StateDir: stateDir})
	})
}

func TestConformanceUnprivileged(t *testing.T) {
	sandboxtest.Unprivileged(t, "testdata/skipped-unprivileged.txt")
}
