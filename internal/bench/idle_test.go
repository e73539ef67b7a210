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
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/engine/gvisor"
	"github.com/bulkhead-dev/bulkhead/image"
	"github.com/bulkhead-dev/bulkhead/image/imagetest"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// echoImage writes an image with the host's echo and sleep, and what they load,
// so that an image and the host's toolchain start the same program.
func echoImage(b *testing.B) string {
	b.Helper()
	testbin.Installed(b, "mkfs.erofs")
	var entries []imagetest.Entry
	seen := map[string]bool{}
	for _, program := range []string{"/usr/bin/echo", "/usr/bin/sleep"} {
		loaded, err := exec.CommandContext(b.Context(), "ldd", program).Output()
		if err != nil {
			b.Fatal(err)
		}
		for _, name := range append(strings.Fields(string(loaded)), program) {
			if !filepath.IsAbs(name) || seen[name] {
				continue
			}
			seen[name] = true
			content, err := os.ReadFile(name)
			if err != nil {
				b.Fatal(err)
			}
			file := imagetest.File(name[1:], string(content))
			file.Mode = 0o755
			entries = append(entries, file)
		}
	}
	dir := filepath.Join(b.TempDir(), "layout")
	imagetest.Image{Layers: [][]byte{imagetest.Layer(b, entries...)}}.WriteLayout(b, dir, "")
	return dir
}

// openEROFS unpacks the image layout for as long as the benchmark runs.
func openEROFS(b *testing.B, layout string) sandbox.Root {
	b.Helper()
	ref, err := image.ParseReference("oci:" + layout)
	if err != nil {
		b.Fatal(err)
	}
	unpacked, err := image.NewStore(b.TempDir(), testbin.Path(b, "bulkhead-guest")).Open(b.Context(), ref, image.OpenOptions{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(unpacked.Close)
	if unpacked.Root.EROFS == "" {
		b.Fatal("the image has no EROFS root")
	}
	return unpacked.Root
}

// BenchmarkIdleMemory prints the table of idle sandboxes' memory alone. It
// measures once, whatever -benchtime says: -benchtime=1x.
func BenchmarkIdleMemory(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("the memory of a sandbox's processes is read as root")
	}
	root, err := image.Toolchain(b.Context(), b.TempDir(), testbin.Path(b, "bulkhead-guest"))
	if err != nil {
		b.Fatal(err)
	}
	fmt.Printf("\n%s\n", idleMemory(b, root, openEROFS(b, echoImage(b))))
}

// idleMemory boots a sandbox of each kind, alone, and says what it holds when
// nothing runs in it but the guest agent.
func idleMemory(b *testing.B, root, unpacked sandbox.Root) string {
	b.Helper()
	agent := []string{image.AgentPath}
	var out strings.Builder
	fmt.Fprint(&out, "| idle sandbox | memory (PSS) | of it files, gVisor's program | a second container, more | of it files |\n|---|---:|---:|---:|---:|\n")
	for _, kind := range []struct {
		name   string
		root   sandbox.Root
		second []string
	}{
		{"host toolchain", root, agent},
		{"EROFS image", unpacked, agent},
		{"EROFS image, the second container `sleep` alone", unpacked, []string{"/usr/bin/sleep", "infinity"}},
	} {
		idle, second := idleMany(b, kind.root, 1), secondIdle(b, kind.root, kind.second)
		fmt.Fprintf(&out, "| %s | %s | %s | %s | %s |\n", kind.name, mib(idle.all), mib(idle.files), mib(second.all), mib(second.files))
	}
	each := idleMany(b, unpacked, many)
	fmt.Fprintf(&out, "| EROFS image, each of %d | %s | %s | | |\n", many, mib(each.all), mib(each.files))
	return out.String()
}

// many is how many sandboxes stand side by side where what they share is to
// count as shared.
const many = 10

// idleMany returns the memory of one of n idle sandboxes of the same kind.
func idleMany(b *testing.B, root sandbox.Root, n int) pss {
	b.Helper()
	engine := gvisor.New(gvisor.Config{Supervisor: testbin.Path(b, "bulkhead-runsc"), StateDir: b.TempDir()})
	for i := range n {
		box, _ := bootGuest(b, engine, root, fmt.Sprintf("idle-%d", i))
		defer func() { _ = box.Close(context.Background()) }()
	}
	all := settled(b)
	return pss{all.all / int64(n), all.files / int64(n)}
}

// secondIdle returns what a sandbox that containers may join takes more with a
// second, idle container that runs program: a guest agent, or one that only sleeps.
func secondIdle(b *testing.B, root sandbox.Root, program []string) pss {
	b.Helper()
	engine := gvisor.New(gvisor.Config{Supervisor: testbin.Path(b, "bulkhead-runsc"), StateDir: b.TempDir()})
	spec := sandbox.Spec{ID: "idle", Root: root, Agent: []string{image.AgentPath}, User: image.User()}
	box, err := engine.BootPod(b.Context(), spec, sandbox.Pod{Containers: 1})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = box.Close(context.Background()) }()
	if err := answered(b.Context(), box); err != nil {
		b.Fatal(err)
	}
	idle := settled(b)
	spec.ID, spec.Agent = "second", program
	c, err := box.Join(b.Context(), spec)
	if err != nil {
		b.Fatalf("a second container: %v", err)
	}
	if program[0] == image.AgentPath {
		if err := answered(b.Context(), c); err != nil {
			b.Fatal(err)
		}
	}
	second := settled(b)
	select {
	case <-c.Done():
		b.Fatalf("the second container ended: %v", c.Err())
	default:
	}
	return pss{second.all - idle.all, second.files - idle.files}
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// settled returns the memory of all sandboxes of this process, once a supervisor
// that only waits has parked.
func settled(b *testing.B) pss {
	b.Helper()
	time.Sleep(6 * time.Second)
	memory, err := memoryBelow(os.Getpid())
	if err != nil {
		b.Fatal(err)
	}
	return memory
}

// secondContainer times another container of an EROFS sandbox that goes on: to
// the first byte of program, or without one to the answer of its guest agent.
func secondContainer(b *testing.B, root sandbox.Root, program ...string) func(context.Context) (time.Duration, error) {
	b.Helper()
	engine := gvisor.New(gvisor.Config{Supervisor: testbin.Path(b, "bulkhead-runsc"), StateDir: b.TempDir()})
	spec := sandbox.Spec{Root: root, Agent: []string{image.AgentPath}, User: image.User()}
	var box sandbox.PodSandbox
	round := 0
	return func(ctx context.Context) (time.Duration, error) {
		if round%sandbox.MaxContainers == 0 {
			spec.ID = fmt.Sprintf("shared-%d", round)
			next, err := engine.BootPod(ctx, spec, sandbox.Pod{Containers: sandbox.MaxContainers})
			if err != nil {
				return 0, err
			}
			box = next
			b.Cleanup(func() { _ = next.Close(context.Background()) })
		}
		round++
		container := spec
		container.ID = fmt.Sprintf("second-%d", round)
		if len(program) > 0 {
			container.Agent = program
		}
		begin := time.Now()
		c, err := box.Join(ctx, container)
		if err != nil {
			return 0, err
		}
		if len(program) > 0 {
			_, err = io.ReadFull(c.Stream(), make([]byte, 1))
		} else {
			err = answered(ctx, c)
		}
		took := time.Since(begin)
		return took, errors.Join(err, c.Close(ctx))
	}
}

// answered waits for a guest agent's answer.
func answered(ctx context.Context, c sandbox.Sandbox) error {
	client, err := agent.NewClient(c.Stream())
	if err != nil {
		return err
	}
	_, err = client.Identity(ctx)
	return err
}
