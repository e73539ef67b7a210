//go:build linux

package cli

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/bulkhead-dev/bulkhead/image/imagetest"
)

// app is an image with a program, users, and a configuration.
func app(t *testing.T) imagetest.Image {
	i := imagetest.Busybox(t)
	start := imagetest.File("bin/start", "#!/bin/sh\necho \"$0 $@\"; echo $(id -u) $(id -g) $PWD $HOME $MODE\n")
	start.Mode = 0o755
	i.Layers = append(i.Layers, imagetest.Layer(t, start,
		imagetest.File("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:1001:1002::/home/app:/bin/sh\n"),
		imagetest.File("etc/group", "staff:x:50:\n"),
		imagetest.Folder("home/app", 0o755),
		imagetest.Link(tar.TypeSymlink, "etc/shadow", "/etc/shadow"),
		imagetest.Link(tar.TypeSymlink, "escape", "../../../../../../etc"),
	))
	i.Config = v1.Config{Env: []string{"MODE=image"}, WorkingDir: "/srv", User: "app", Entrypoint: []string{"start"}, Cmd: []string{"a", "b"}}
	return i
}

// TestRunImage: an image runs as its configuration says, for root and without.
func TestRunImage(t *testing.T) {
	users(t, func(t *testing.T, i installed) {
		layout, archive := filepath.Join(i.home, "layout"), filepath.Join(i.home, "app.tar")
		app(t).WriteLayout(t, layout, "v1")
		app(t).WriteArchive(t, archive, "app:v1")
		plain := imagetest.Busybox(t)
		plain.WriteLayout(t, filepath.Join(i.home, "plain"), "")
		for _, tt := range []struct {
			args []string
			want string
			code int
		}{
			{[]string{"--image", "oci:layout:v1"}, "/bin/start a b\n1001 1002 /srv /home/app image\n", 0},
			{[]string{"--image", "docker-archive:app.tar", "--", "c"}, "/bin/start c\n1001 1002 /srv /home/app image\n", 0},
			{[]string{"--image", "oci:layout", "-e", "MODE=flag", "-w", "/tmp", "-u", "5:staff"}, "/bin/start a b\n5 50 /tmp /home/user flag\n", 0},
			{[]string{"--image", "oci:layout", "-u", "root"}, "/bin/start a b\n0 0 /srv /root image\n", 0},
			// An image without a user is not root.
			{[]string{"--image", "oci:plain", "--", "sh", "-c", "id -u; uname -r; touch ~/x /tmp/x /run/x && ls /.bulkhead; touch /x 2>/dev/null || echo read-only"}, "65532\n4.19.0-gvisor\nbulkhead-guest\nread-only\n", 0},
			{[]string{"--image", "oci:plain", "-u", "nobody", "--", "true"}, "", 125},
			{[]string{"--image", "oci:plain", "--", "nothing"}, "", 127},
			// Links lead to what is inside.
			{[]string{"--image", "oci:layout", "--", "x"}, "/bin/start x\n1001 1002 /srv /home/app image\n", 0},
			{[]string{"--image", "oci:nowhere"}, "", 125},
		} {
			cmd := i.command(append([]string{"run"}, tt.args...)...)
			cmd.Env = append(cmd.Env, "XDG_CACHE_HOME="+filepath.Join(i.home, "cache"))
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if code := exitCode(t, cmd.Run()); code != tt.code || stdout.String() != tt.want {
				t.Errorf("%v: code %d, output %q, want %d and %q: %s", tt.args, code, stdout.String(), tt.code, tt.want, stderr.String())
			}
			if tt.code == 125 && !strings.Contains(stderr.String(), "next: ") {
				t.Errorf("%v: no next step: %s", tt.args, stderr.String())
			}
		}
		if roots, err := os.ReadDir(filepath.Join(i.home, "cache", "bulkhead", "images", "roots")); len(roots) != 2 {
			t.Errorf("two images have the roots %v, %v", roots, err)
		}
	})
}

// TestLinksOutOfAnImage: what an image's links name is looked for inside.
func TestLinksOutOfAnImage(t *testing.T) {
	i := install(t, 0)
	layout := filepath.Join(i.home, "layout")
	a := app(t)
	a.Config.Entrypoint, a.Config.Cmd = nil, nil
	a.WriteLayout(t, layout, "")
	for _, engine := range []string{"gvisor", "runc"} {
		cmd := i.command("run", "--engine", engine, "--min-boundary", "shared-kernel", "--image", "oci:layout", "-u", "0", "--", "sh", "-c", "cat /etc/shadow 2>&1; ls /escape/")
		cmd.Env = append(cmd.Env, "XDG_CACHE_HOME="+filepath.Join(i.home, "cache"))
		out, err := cmd.CombinedOutput()
		if err != nil || strings.Contains(string(out), "root:") || !strings.Contains(string(out), "passwd") || strings.Contains(string(out), "ssl") {
			t.Errorf("%s: %v: %s", engine, err, out)
		}
	}
}
