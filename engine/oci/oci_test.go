package oci

import (
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-dev/bulkhead/sandbox"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// root makes a root file system with /etc, /mnt, a link and a bind of "the
// host's /usr".
func root(t *testing.T) sandbox.Root {
	t.Helper()
	dir, usr := t.TempDir(), t.TempDir()
	for _, d := range []string{"etc", "mnt", "usr", "tmp"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		os.Symlink("usr/bin", filepath.Join(dir, "bin")),
		os.WriteFile(filepath.Join(dir, "etc", "passwd"), []byte("root"), 0o644),
		os.Mkdir(filepath.Join(usr, "bin"), 0o755),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return sandbox.Root{Dir: dir, Binds: []sandbox.Mount{{Source: usr, Target: "/usr"}}}
}

func full(root sandbox.Root, source string) sandbox.Spec {
	return sandbox.Spec{
		ID: "box", Root: root, Agent: []string{"/agent"}, Env: []string{"A=1"},
		Mounts:       []sandbox.Mount{{Source: source, Target: "/mnt"}, {Source: source, Target: "/etc", Writable: true}},
		Tmpfs:        []sandbox.Tmpfs{{Target: "/tmp", Mode: 0o1777, SizeBytes: 1 << 20, User: sandbox.User{UID: 1, GID: 2}}},
		User:         sandbox.User{UID: 65532, GID: 65532},
		Capabilities: []string{"CAP_CHOWN"},
		Limits:       sandbox.Limits{PIDs: 100, MemoryBytes: 1 << 30, MilliCPUs: 1500},
	}
}

// TestSpecGolden shows exactly what the runtimes are asked for.
func TestSpecGolden(t *testing.T) {
	spec := full(sandbox.Root{Dir: "/root-dir", Binds: []sandbox.Mount{{Source: "/usr", Target: "/usr"}}}, "/source")
	for name, ns := range map[string]Runtime{
		"root":       {CgroupsPath: "bulkhead-box", SwapLimited: true},
		"rootless":   {MapUser: true, HostUID: 1000, HostGID: 1000},
		"joined":     {Network: "/proc/7/ns/net"},
		"own-kernel": {OwnKernel: true, CgroupsPath: "bulkhead-box"},
	} {
		got, err := json.MarshalIndent(Spec(spec, ns), "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", name+".json")
		if *update {
			if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(strings.TrimSpace(string(want)), string(got)); diff != "" {
			t.Errorf("%s (-want +got, -update rewrites):\n%s", golden, diff)
		}
	}
}

func TestWriteBundle(t *testing.T) {
	r, source := root(t), t.TempDir()
	for _, tt := range []struct {
		name   string
		change func(*sandbox.Spec)
		err    string // "": no error
		own    bool   // the root is a copy
	}{
		{"places that are there", func(*sandbox.Spec) {}, "", false},
		{"a new place", func(s *sandbox.Spec) { s.Mounts[0].Target = "/data/in" }, "", true},
		{"a place below a tmpfs", func(s *sandbox.Spec) { s.Mounts[0].Target = "/tmp/in" }, "", false},
		{"a new tmpfs", func(s *sandbox.Spec) { s.Tmpfs[0].Target = "/scratch" }, "", true},
		{"a place of the host's", func(s *sandbox.Spec) { s.Mounts[0].Target = "/usr/bin" }, "", false},
		{"a place that the host lacks", func(s *sandbox.Spec) { s.Mounts[0].Target = "/usr/new" }, "no such place", false},
		{"through a link", func(s *sandbox.Spec) { s.Mounts[0].Target = "/bin/new" }, "symbolic link", false},
		{"through dots", func(s *sandbox.Spec) { s.Mounts[0].Target = "/mnt/../usr/new" }, "no such place", false},
		{"the root", func(s *sandbox.Spec) { s.Mounts[0].Target = "/" }, "not a folder below the root", false},
		{"no source", func(s *sandbox.Spec) { s.Mounts[0].Source = "/no/such" }, "/no/such", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, spec := t.TempDir(), full(r, source)
			spec.Mounts = []sandbox.Mount{{Source: source, Target: "/mnt"}}
			tt.change(&spec)
			before := tree(t, r.Dir) + tree(t, r.Binds[0].Source)
			err := WriteBundle(dir, spec, Runtime{})
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if after := tree(t, r.Dir) + tree(t, r.Binds[0].Source); after != before {
				t.Errorf("the shared root changed:\n%s", cmp.Diff(before, after))
			}
			_, err = os.Lstat(filepath.Join(dir, "rootfs"))
			if own := err == nil; own != tt.own {
				t.Errorf("copied: %t, want %t", own, tt.own)
			}
			if tt.own {
				if b, err := os.ReadFile(filepath.Join(dir, "rootfs", "etc", "passwd")); err != nil || string(b) != "root" {
					t.Errorf("the copy lacks files: %q, %v", b, err)
				}
				if link, err := os.Readlink(filepath.Join(dir, "rootfs", "bin")); err != nil || link != "usr/bin" {
					t.Errorf("the copy lacks links: %q, %v", link, err)
				}
			}
		})
	}
}

// tree lists the names and modes below dir.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		b.WriteString(name + " " + info.Mode().String() + "\n")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTail(t *testing.T) {
	var tail Tail
	for range 100 {
		if n, err := tail.Write([]byte(strings.Repeat("x", 100) + "\x1b[31m\n")); n != 106 || err != nil {
			t.Fatal(n, err)
		}
	}
	got := tail.String()
	if len(got) > tailBytes || strings.ContainsAny(got, "\x1b\n") || !strings.HasSuffix(got, "[31m") {
		t.Errorf("%d bytes, %q", len(got), got[max(0, len(got)-20):])
	}
}

func TestContents(t *testing.T) {
	dir, spec := t.TempDir(), full(root(t), t.TempDir())
	spec.Mounts, spec.Groups = nil, []uint32{7}
	spec.Contents = []sandbox.Content{
		{Target: "/etc/passwd", Files: []sandbox.File{{Mode: 0o640, Data: []byte("one file")}}},
		{Target: "/mnt", GID: 7, Files: []sandbox.File{{Path: "a/b", Mode: 0o400, Data: []byte("x")}, {Path: "c", Mode: 0o640}}},
	}
	if err := WriteBundle(dir, spec, Runtime{}); err != nil {
		t.Fatal(err)
	}
	if got, want := strings.ReplaceAll(tree(t, filepath.Join(dir, "contents")), dir+"/contents", ""), ` drwxr-xr-x
/0 -rw-r-----
/1 drwxr-xr-x
/1/a drwxr-xr-x
/1/a/b -r--------
/1/c -rw-r-----
`; got != want {
		t.Errorf("contents:\n%s\nwant:\n%s", got, want)
	}
	config, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"destination":"/etc/passwd","type":"bind","source":"` + dir + `/contents/0"`, `"additionalGids":[7]`} {
		if !strings.Contains(string(config), want) {
			t.Errorf("config.json lacks %s", want)
		}
	}
	if strings.Contains(string(config), "one file") {
		t.Error("config.json holds the content")
	}
	for _, path := range []string{"../x", "/x", "a/../../x"} {
		spec.Contents = []sandbox.Content{{Target: "/mnt", Files: []sandbox.File{{Path: path}}}}
		if err := WriteBundle(t.TempDir(), spec, Runtime{}); err == nil {
			t.Errorf("%s was written", path)
		}
	}
}

// TestPodAnnotations: what gVisor is told of a sandbox's shared folders, and of a
// container that joins it.
func TestPodAnnotations(t *testing.T) {
	got := Spec(sandbox.Spec{ID: "box"}, Runtime{Shared: []sandbox.Shared{{Name: "data", Mode: 0o777, SizeBytes: 64, User: sandbox.User{GID: 7}}}})
	want := map[string]string{
		"dev.gvisor.spec.mount.data.source":  "/nonexistent/bulkhead/data",
		"dev.gvisor.spec.mount.data.type":    "tmpfs",
		"dev.gvisor.spec.mount.data.share":   "pod",
		"dev.gvisor.spec.mount.data.options": "nosuid,nodev,mode=777,size=64,uid=0,gid=7",
	}
	if diff := cmp.Diff(want, got.Annotations); diff != "" {
		t.Errorf("of the sandbox (-want +got):\n%s", diff)
	}
	got = Spec(sandbox.Spec{ID: "web", Tmpfs: []sandbox.Tmpfs{{Target: "/srv", Shared: "data"}}}, Runtime{Joins: "box"})
	want = map[string]string{"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.sandbox-id": "box"}
	if diff := cmp.Diff(want, got.Annotations); diff != "" {
		t.Errorf("of a container (-want +got):\n%s", diff)
	}
	mount := specs.Mount{Destination: "/srv", Type: "tmpfs", Source: "/nonexistent/bulkhead/data", Options: []string{"nosuid", "nodev"}}
	if diff := cmp.Diff(mount, got.Mounts[len(got.Mounts)-1]); diff != "" {
		t.Errorf("its mount (-want +got):\n%s", diff)
	}
}
