//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/engine/gvisor"
	"github.com/bulkhead-dev/bulkhead/image"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// BenchmarkGuestAgents compares builds of the guest agent: BULKHEAD_GUESTS is a
// list of their paths, separated by colons. For each it times a command in a
// warm sandbox and in a cold one, boot included; ratios are to the first.
func BenchmarkGuestAgents(b *testing.B) {
	paths := filepath.SplitList(os.Getenv("BULKHEAD_GUESTS"))
	if len(paths) == 0 {
		b.Skip("BULKHEAD_GUESTS names no builds of the guest agent")
	}
	var warm, cold []Case
	for n, path := range paths {
		root, err := image.Toolchain(b.Context(), b.TempDir(), path)
		if err != nil {
			b.Fatal(err)
		}
		client := warmSandbox(b, root)
		name := fmt.Sprintf("%d %s", n, filepath.Base(path))
		warm = append(warm, Case{name, func(ctx context.Context) (time.Duration, error) { return execOnce(ctx, client) }})
		engine := gvisor.New(gvisor.Config{Supervisor: testbin.Path(b, "bulkhead-runsc"), StateDir: b.TempDir()})
		spec := sandbox.Spec{ID: fmt.Sprintf("cold-%d", n), Root: root, Agent: []string{image.AgentPath}, User: image.User()}
		cold = append(cold, Case{name, func(ctx context.Context) (time.Duration, error) { return coldOnce(ctx, engine, spec) }})
	}
	for what, cases := range map[string][]Case{"warm": warm, "cold": cold} {
		if only := os.Getenv("BULKHEAD_GUESTS_ONLY"); only != "" && only != what {
			continue
		}
		series, err := Interleave(b.Context(), b.N, cases)
		if err != nil {
			b.Fatal(err)
		}
		if b.N > 1 {
			fmt.Printf("\n%s, %d rounds, interleaved\n\n%s\n", what, b.N, Markdown(series, series[0].Name))
		}
	}
}

// coldOnce times a boot, the check of the boundary and a command, to its first byte.
func coldOnce(ctx context.Context, engine sandbox.Engine, spec sandbox.Spec) (took time.Duration, err error) {
	begin := time.Now()
	box, err := runner.Boot(ctx, runner.Place{Engine: engine, Spec: spec, Minimum: boundary.UserKernel})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, box.Close(ctx)) }()
	first, err := firstByte(ctx, box.Client)
	return first.Sub(begin), err
}
