//go:build linux

package cli

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"log" //nolint:depguard // the registry of the test takes no other logger
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/bulkhead-dev/bulkhead/image/imagetest"
)

// imageCommand runs a verb with a cache of its own.
func (i installed) image(t *testing.T, stdin io.Reader, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := i.command(args...)
	cmd.Env = append(cmd.Env, "XDG_CACHE_HOME="+filepath.Join(i.home, "cache"), "DOCKER_CONFIG="+i.home)
	var out, err bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &out, &err
	code = exitCode(t, cmd.Run())
	return code, out.String(), err.String()
}

// serve pushes an image to a registry on loopback and returns its host. stop, if
// not nil, holds up whoever asks for a layer.
func serve(t *testing.T, i imagetest.Image, hold func(*http.Request)) string {
	t.Helper()
	reg := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hold != nil && r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			hold(r)
		}
		reg.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	ref, err := name.ParseReference(host + "/app:v1")
	if err == nil {
		err = remote.Write(ref, i.Build(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	return host
}

// TestImageVerbs: an image's life, from a registry and from an archive, for root
// and without.
func TestImageVerbs(t *testing.T) {
	users(t, func(t *testing.T, i installed) {
		host := serve(t, app(t), nil)
		archive := filepath.Join(i.home, "app.tar")
		app(t).WriteArchive(t, archive, "local/app:v2")
		text, err := os.ReadFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		layout := filepath.Join(i.home, "layout")
		app(t).WriteLayout(t, layout, "v1")
		for _, tt := range []struct {
			args           []string
			stdin          string
			code           int
			stdout, stderr string // regular expressions
		}{
			{args: []string{"image", "ls"}, stdout: `^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE\n$`},
			{args: []string{"image", "ls", "-o", "json"}, stdout: `^\[\]\n$`},
			{args: []string{"image", "pull", host + "/app:v1"}, stdout: `^` + host + `/app:v1  [0-9a-f]{12}\n$`},
			{args: []string{"image", "pull", "-q", host + "/app:v1"}, stdout: `^sha256:[0-9a-f]{64}\n$`},
			{args: []string{"image", "pull", host + "/app:v9"}, code: 2, stderr: `next: check the name and the tag`},
			{args: []string{"image", "pull", "UPPER"}, code: 2, stderr: `"UPPER" names no image`},
			{args: []string{"image", "pull", "--platform", "windows", host + "/app:v1"}, code: 2, stderr: `next: `},
			{args: []string{"image", "pull"}, code: 2, stderr: `no image named`},
			{args: []string{"image", "pull", "docker-archive:app.tar"}, code: 2, stderr: `next: load it: bulkhead image load`},
			{args: []string{"image", "load", "-i", "app.tar"}, stdout: `^docker.io/local/app:v2  [0-9a-f]{12}\n$`},
			{args: []string{"image", "load"}, stdin: string(text), stdout: `docker.io/local/app:v2`},
			{args: []string{"image", "load"}, stdin: "no archive", code: 2, stderr: `next: give an archive that`},
			{args: []string{"image", "load", "oci:layout:v1"}, code: 2, stderr: `next: give it one: --tag`},
			{args: []string{"image", "load", "--tag", "third:v3", "oci:layout:v1"}, stdout: `docker.io/library/third:v3`},
			{args: []string{"image", "load", "-i", "a", "oci:b"}, code: 2, stderr: `exclude each other`},
			{args: []string{"image", "ls"}, stdout: `(?s)` + host + `/app +v1 .*docker.io/library/third +v3 .*docker.io/local/app +v2 `},
			{args: []string{"image", "ls", "-q"}, stdout: `^[0-9a-f]{12}\n$`}, // three names of one image
			{args: []string{"run", "--image", "local/app:v2", "--pull", "never"}, stdout: `^/bin/start a b\n1001 1002 `},
			{args: []string{"run", "--image", host + "/app:v1", "--", "c"}, stdout: `^/bin/start c\n`},
			{args: []string{"__complete", "image", "rm", ""}, stdout: `docker.io/local/app:v2`},
			{args: []string{"image", "rm", "local/app:v2"}, stdout: `^Untagged: docker.io/local/app:v2\n$`},
			{args: []string{"image", "rm", "local/app:v2", "third:v3"}, code: 2, stdout: `^Untagged: docker.io/library/third:v3\n$`, stderr: `not in the store`},
			{args: []string{"image", "rm", host + "/app:v1"}, stdout: `^Untagged: .*\nDeleted: sha256:[0-9a-f]{64}\n$`},
			{args: []string{"run", "--image", "oci:layout", "--", "d"}, stdout: `^/bin/start d\n`},
			{args: []string{"image", "gc", "-o", "json"}, stdout: `^\{"freedBytes":[0-9]{6,},"names":\[\]\}\n$`},
			{args: []string{"image", "gc"}, stdout: `^Total reclaimed space: 0B\n$`},
			{args: []string{"image", "frobnicate"}, code: 2, stderr: `unknown verb`},
		} {
			code, stdout, stderr := i.image(t, strings.NewReader(tt.stdin), tt.args...)
			if code != tt.code || !regexp.MustCompile(tt.stdout).MatchString(stdout) || !regexp.MustCompile(tt.stderr).MatchString(stderr) {
				t.Errorf("%v: code %d, want %d\n%s%s", tt.args, code, tt.code, stdout, stderr)
			}
		}
		for _, dir := range []string{"names", "roots", "blobs/sha256"} {
			if left, err := os.ReadDir(filepath.Join(i.home, "cache", "bulkhead", "images", dir)); len(left) != 0 {
				t.Errorf("left in %s: %v, %v", dir, left, err)
			}
		}
	})
}

// TestImageInUse: what a sandbox runs from is not removed, and a name that gets
// another meaning does not disturb it.
func TestImageInUse(t *testing.T) {
	i := install(t, 0)
	host := serve(t, imagetest.Busybox(t), nil)
	box := "image-" + strings.ToLower(rand.Text()[:8]) // root's sandboxes are the machine's
	t.Cleanup(func() { i.image(t, nil, "rm", "--force", box) })
	if code, _, stderr := i.image(t, nil, "run", "--detach", "--name", box, "--image", host+"/app:v1", "--", "sleep", "1000"); code != 0 {
		t.Fatal(stderr)
	}
	for _, args := range [][]string{{"rm", host + "/app:v1"}, {"rm", "--force", host + "/app:v1"}} {
		if code, _, stderr := i.image(t, nil, append([]string{"image"}, args...)...); code != 2 || !strings.Contains(stderr, "a sandbox uses it") {
			t.Errorf("%v: code %d: %s", args, code, stderr)
		}
	}
	if code, stdout, _ := i.image(t, nil, "image", "gc", "--all"); code != 0 || strings.Contains(stdout, "Untagged") {
		t.Errorf("gc: %d, %s", code, stdout)
	}
	if code, stdout, stderr := i.image(t, nil, "exec", box, "echo", "alive"); code != 0 || stdout != "alive\n" {
		t.Errorf("%d: %s%s", code, stdout, stderr)
	}
	if code, _, stderr := i.image(t, nil, "rm", "--force", box); code != 0 {
		t.Error(stderr)
	}
	if code, stdout, _ := i.image(t, nil, "image", "gc", "--all"); code != 0 || !strings.Contains(stdout, "Untagged: "+host+"/app:v1") {
		t.Errorf("gc: %d, %s", code, stdout)
	}
}

// TestPullingProcesses: two processes pull one image at once, after one that was
// killed in the middle.
func TestPullingProcesses(t *testing.T) {
	i := install(t, 0)
	var gets atomic.Int32
	waiting, held := make(chan struct{}, 8), make(chan struct{})
	a := app(t)
	a.Config = v1.Config{Cmd: []string{"true"}}
	host := serve(t, a, func(r *http.Request) {
		gets.Add(1)
		select {
		case <-held:
			return
		default:
		}
		waiting <- struct{}{}
		select {
		case <-held:
		case <-r.Context().Done():
		}
	})
	first := i.command("image", "pull", host+"/app:v1")
	first.Env = append(first.Env, "XDG_CACHE_HOME="+filepath.Join(i.home, "cache"))
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	<-waiting
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	close(held)
	time.Sleep(10 * time.Millisecond)
	gets.Store(0)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if code, _, stderr := i.image(t, nil, "image", "pull", host+"/app:v1"); code != 0 {
				t.Error(stderr)
			}
		})
	}
	wg.Wait()
	if n := gets.Load(); n != 3 { // two layers and the configuration
		t.Errorf("%d blobs were loaded", n)
	}
	_, stdout, _ := i.image(t, nil, "image", "ls", "-o", "json")
	var rows []map[string]any
	if err := json.Unmarshal([]byte(stdout), &rows); err != nil || len(rows) != 1 || rows[0]["name"] != host+"/app:v1" {
		t.Errorf("%s, %v", stdout, err)
	}
	if half, _ := filepath.Glob(filepath.Join(i.home, "cache", "bulkhead", "images", "*", "*", ".new-*")); len(half) != 0 {
		t.Errorf("left: %v", half)
	}
}
