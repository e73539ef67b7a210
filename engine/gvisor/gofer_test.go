//go:build linux

package gvisor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/image"
	"github.com/bulkhead-dev/bulkhead/image/imagetest"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// erofsRoot is the root of an image with one file, for as long as the test runs.
func erofsRoot(t *testing.T) sandbox.Root {
	t.Helper()
	testbin.Installed(t, "mkfs.erofs")
	layout := filepath.Join(t.TempDir(), "layout")
	imagetest.Image{Layers: [][]byte{imagetest.Layer(t, imagetest.File("etc/motd", "hello"))}}.WriteLayout(t, layout, "")
	ref, err := image.ParseReference("oci:" + layout)
	if err != nil {
		t.Fatal(err)
	}
	img, err := image.NewStore(t.TempDir(), testbin.Path(t, "bulkhead-guest")).Open(t.Context(), ref, image.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(img.Close)
	return img.Root
}

// TestNoGofer: a sandbox whose root is an EROFS image, and to which nothing of
// the host is mounted, has no process that opens files for it. One with a folder
// for a root, or with a mount, has.
func TestNoGofer(t *testing.T) {
	root := erofsRoot(t)
	folder := root
	folder.EROFS = ""
	mounts := []sandbox.Mount{{Source: t.TempDir(), Target: "/mnt"}}
	for _, tt := range []struct {
		name   string
		root   sandbox.Root
		mounts []sandbox.Mount
		want   int
	}{
		{"image", root, nil, 0},
		{"image and mount", root, mounts, 1},
		{"folder", folder, nil, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			state := t.TempDir()
			e := New(Config{Supervisor: testbin.Path(t, "bulkhead-runsc"), StateDir: state})
			box, err := e.Boot(t.Context(), sandbox.Spec{
				ID: "gofer", Root: tt.root, Agent: []string{image.AgentPath}, User: image.User(), Mounts: tt.mounts,
				Tmpfs: []sandbox.Tmpfs{{Target: "/tmp", Mode: 0o1777, SizeBytes: 1 << 20}},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := box.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}()
			if got := processes(t, state, "runsc-gofer"); got != tt.want {
				t.Errorf("%d processes open files for the sandbox, want %d", got, tt.want)
			}
			if got := processes(t, state, "runsc-sandbox"); got == 0 {
				t.Error("the sandbox's own process was not found: the names have changed")
			}
		})
	}
}

// processes counts those that carry a name and whose arguments name the folder state.
func processes(t *testing.T, state, name string) int {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, file := range lines {
		line, err := os.ReadFile(file)
		if err == nil && strings.HasPrefix(string(line), name+"\x00") && strings.Contains(string(line), state) {
			n++
		}
	}
	return n
}
