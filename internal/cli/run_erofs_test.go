//go:build linux

package cli

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/bulkhead-dev/bulkhead/image/imagetest"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
)

// TestRunEROFS: an image is the same to what runs in it, whether gVisor mounts it
// as EROFS or as a folder.
func TestRunEROFS(t *testing.T) {
	testbin.Installed(t, "mkfs.erofs")
	users(t, func(t *testing.T, i installed) {
		a := app(t)
		large := imagetest.File("srv/large", strings.Repeat("0123456789abcdef", 1<<16))
		large.Uid, large.Gid = 1001, 1002
		a.Layers = append(a.Layers, imagetest.Layer(t, large, imagetest.File("srv/empty", ""),
			imagetest.Link(tar.TypeLink, "srv/hard", "srv/large"), imagetest.Folder("srv/"+strings.Repeat("n", 200), 0o700)))
		a.Config = v1.Config{User: "root"}
		a.WriteLayout(t, filepath.Join(i.home, "layout"), "")
		if err := os.Mkdir(filepath.Join(i.home, "data"), 0o755); err != nil {
			t.Fatal(err)
		}
		const look = "grep ' / ' /proc/mounts | grep -o erofs; stat -c '%A %u %g %n' /srv/*; stat -c '%h %s %Y' /srv/large; readlink /escape; readlink /etc/shadow; cat /srv/hard | grep -c cdef; id; touch /srv/x 2>&1; ls -a /mnt /home /tmp; echo $(stat -c '%F %a %u' /srv/large /tmp /dev/null)"
		said := map[string]string{}
		for _, path := range []string{"", "/nowhere"} {
			for _, mounts := range [][]string{nil, {"-v", "data:/data"}} { // one that the root has a place for, and one that it lacks
				name := "with mkfs.erofs"
				args := append([]string{"run", "--image", "oci:layout"}, mounts...)
				cmd := i.command(append(args, "--", "sh", "-c", look)...)
				cmd.Env = append(cmd.Env, "XDG_CACHE_HOME="+filepath.Join(i.home, "cache"+path))
				if path != "" {
					cmd.Env, name = append(cmd.Env, "PATH="+path), "without"
				}
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%s %v: %v: %s", name, mounts, err, out)
				}
				rest, mounted := strings.CutPrefix(string(out), "erofs\n")
				if want := path == "" && mounts == nil; mounted != want {
					t.Errorf("%s %v: EROFS is the root: %v, want %v", name, mounts, mounted, want)
				}
				if mounts == nil {
					said[name] = rest
				}
			}
		}
		if said["without"] != said["with mkfs.erofs"] || !strings.Contains(said["without"], "Read-only file system") {
			t.Errorf("as a folder:\n%s\nas EROFS:\n%s", said["without"], said["with mkfs.erofs"])
		}
	})
}
