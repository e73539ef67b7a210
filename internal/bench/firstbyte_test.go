//go:build linux

package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/engine/gvisor"
	"github.com/bulkhead-dev/bulkhead/engine/oci"
	"github.com/bulkhead-dev/bulkhead/image"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// BenchmarkTimeToFirstByte times `echo x` from nothing to its first byte: as a
// plain process, in a container of runc, through gVisor's own command line,
// through `bulkhead run` with the host's toolchain and with an EROFS image, as a
// second container of a sandbox and as a command in one. It prints the table of
// docs/performance.md, and idle sandboxes' memory. -benchtime=40x sets the rounds.
func BenchmarkTimeToFirstByte(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("the runc and runsc baselines need root")
	}
	root, err := image.Toolchain(b.Context(), b.TempDir(), testbin.Path(b, "bulkhead-guest"))
	if err != nil {
		b.Fatal(err)
	}
	spec := sandbox.Spec{ID: "first-byte", Root: root, Agent: []string{"/usr/bin/echo", "x"}, User: image.User()}
	bundle := b.TempDir()
	if err := oci.WriteBundle(bundle, spec, oci.Runtime{}); err != nil {
		b.Fatal(err)
	}
	b.Setenv("XDG_CACHE_HOME", b.TempDir())
	layout := echoImage(b)
	unpacked := openEROFS(b, layout)
	memory := idleMemory(b, root, unpacked)
	runc, runsc, state := testbin.Installed(b, "runc"), testbin.Path(b, "bulkhead-runsc"), b.TempDir()
	warm := warmSandbox(b, root)
	cases := []Case{
		process("plain process", "/usr/bin/echo", "x"),
		process("runc run", runc, "--root", filepath.Join(state, "runc"), "run", "--bundle", bundle, "first-byte"),
		process("runsc run", runsc, "--root", filepath.Join(state, "runsc"), "--network=none", "--overlay2=none", "--gofer-network-namespace=new",
			"run", "--bundle", bundle, "first-byte"),
		process("bulkhead run", testbin.Path(b, "bulkhead"), "run", "--", "echo", "x"),
		process("bulkhead run, EROFS image", testbin.Path(b, "bulkhead"), "run", "--image", "oci:"+layout, "--", "/usr/bin/echo", "x"),
		{"second container in a sandbox, EROFS image, echo alone", secondContainer(b, unpacked, "/usr/bin/echo", "x")},
		{"second container in a sandbox, EROFS image, to its guest agent", secondContainer(b, unpacked)},
		{"exec in a warm sandbox", func(ctx context.Context) (time.Duration, error) { return execOnce(ctx, warm) }},
	}
	series, err := Interleave(b.Context(), b.N, cases)
	if err != nil {
		b.Fatal(err)
	}
	var baseline Series
	for _, s := range series {
		if s.Name == "runc run" {
			baseline = s
		}
	}
	for n, s := range series {
		b.ReportMetric(s.Ratio(baseline), fmt.Sprintf("ratio-%d", n))
	}
	if b.N > 1 {
		fmt.Printf("\n%d rounds, interleaved\n\n%s\n%s\n", b.N, Markdown(series, "runc run"), memory)
	}
}

// process times a command from its start to its first byte, and waits for its
// end so that no case pays for another's cleaning up.
func process(name, path string, args ...string) Case {
	return Case{name, func(ctx context.Context) (time.Duration, error) {
		cmd := exec.CommandContext(ctx, path, args...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			return 0, err
		}
		begin := time.Now()
		if err := cmd.Start(); err != nil {
			return 0, err
		}
		_, err = io.ReadFull(out, make([]byte, 1))
		took := time.Since(begin)
		_, _ = io.Copy(io.Discard, out)
		return took, errors.Join(err, cmd.Wait())
	}}
}

func warmSandbox(b *testing.B, root sandbox.Root) *agent.Client {
	b.Helper()
	engine := gvisor.New(gvisor.Config{Supervisor: testbin.Path(b, "bulkhead-runsc"), StateDir: b.TempDir()})
	_, client := bootGuest(b, engine, root, "warm")
	return client
}

func execOnce(ctx context.Context, c *agent.Client) (time.Duration, error) {
	begin := time.Now()
	first, err := firstByte(ctx, c)
	return first.Sub(begin), err
}
