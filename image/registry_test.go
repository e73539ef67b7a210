//go:build linux

package image

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log" //nolint:depguard // the registry of the test takes no other logger
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	nothing "github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/bulkhead-dev/bulkhead/image/imagetest"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
)

// testRegistry is a registry on loopback, and what stands between it and others.
type testRegistry struct {
	host string
	// between may answer in the registry's place; then it returns true.
	between func(w http.ResponseWriter, r *http.Request, registry http.Handler) bool
	gets    sync.Map // path -> *atomic.Int32
}

func newRegistry(t *testing.T) *testRegistry {
	t.Helper()
	reg := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	tr := &testRegistry{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			n, _ := tr.gets.LoadOrStore(r.URL.Path, new(atomic.Int32))
			n.(*atomic.Int32).Add(1)
		}
		if tr.between == nil || !tr.between(w, r, reg) {
			reg.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(s.Close)
	tr.host = strings.TrimPrefix(s.URL, "http://")
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	return tr
}

func (r *testRegistry) push(t *testing.T, i imagetest.Image, repoTag string) v1.Image {
	t.Helper()
	img := i.Build(t)
	ref, err := name.ParseReference(r.host + "/" + repoTag)
	if err == nil {
		err = remote.Write(ref, img)
	}
	if err != nil {
		t.Fatal(err)
	}
	return img
}

func layers(t *testing.T, img v1.Image) []v1.Descriptor {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	return m.Layers
}

func (s *Store) pullText(t *testing.T, text, platform string) (Record, error) {
	t.Helper()
	ref, err := ParseReference(text)
	p, perr := ParsePlatform(platform)
	if err = errors.Join(err, perr); err != nil {
		t.Fatal(err)
	}
	return s.Pull(t.Context(), ref, PullOptions{Platform: p})
}

// left lists what is in the store, by kind.
func left(t *testing.T, s *Store) string {
	t.Helper()
	var out []string
	for _, dir := range []string{"names", "roots", "blobs/sha256"} {
		entries, err := os.ReadDir(filepath.Join(s.dir, dir))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%d %s", len(entries), dir))
	}
	return strings.Join(out, ", ")
}

// TestPull: a name of a registry is pulled once, and then is there.
func TestPull(t *testing.T) {
	r := newRegistry(t)
	img := r.push(t, small(t), "team/app:v1")
	s := newStore(t)
	text := r.host + "/team/app:v1"
	opened, err := s.openText(t, text)
	if err != nil {
		t.Fatal(err)
	}
	checkSmall(t, opened)
	r.between = func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
		w.WriteHeader(http.StatusGone)
		return true
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{text, "docker://" + text, strings.TrimPrefix(opened.ID, "sha256:")[:12]} {
		if opened, err = s.openText(t, again); err != nil {
			t.Fatal(err)
		}
		checkSmall(t, opened)
	}
	records, err := s.List()
	if err != nil || len(records) != 1 {
		t.Fatalf("%v, %v", records, err)
	}
	if got := records[0]; got.Name != text || got.Manifest.Digest != digest || got.ID.String() != opened.ID || got.Platform.Architecture != runtime.GOARCH {
		t.Errorf("record %+v", got)
	}
	// Another name of another registry, with the same content, costs nothing new.
	if got := left(t, s); got != "1 names, 1 roots, 4 blobs/sha256" {
		t.Error(got)
	}
}

// TestPullDigest: what is named by its digest is what comes.
func TestPullDigest(t *testing.T) {
	r := newRegistry(t)
	first := r.push(t, small(t), "app:v1")
	digest, err := first.Digest()
	if err != nil {
		t.Fatal(err)
	}
	other := small(t)
	other.Config.Cmd = []string{"another"}
	r.push(t, other, "app:v1")
	s := newStore(t)
	rec, err := s.pullText(t, r.host+"/app@"+digest.String(), "")
	if err != nil || rec.Manifest.Digest != digest {
		t.Errorf("%v, %v", rec, err)
	}
	rec, err = s.pullText(t, r.host+"/app:v1", "")
	if err != nil || rec.Manifest.Digest == digest {
		t.Errorf("%v, %v", rec, err)
	}
}

// TestPullPlatform: of an index, the image for a platform is taken.
func TestPullPlatform(t *testing.T) {
	r := newRegistry(t)
	index := mutate.IndexMediaType(nothing.Index, "application/vnd.oci.image.index.v1+json")
	for _, p := range []v1.Platform{{OS: "linux", Architecture: "amd64"}, {OS: "linux", Architecture: "arm64", Variant: "v8"}, {OS: "linux", Architecture: "arm", Variant: "v6"}, {OS: "linux", Architecture: "arm", Variant: "v7"}, {OS: "unknown", Architecture: "unknown"}} {
		i := small(t)
		i.Arch = p.Architecture
		i.Config.Cmd = []string{p.String()}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: i.Build(t), Descriptor: v1.Descriptor{Platform: &p}})
	}
	ref, err := name.ParseReference(r.host + "/app:v1")
	if err == nil {
		err = remote.WriteIndex(ref, index)
	}
	if err != nil {
		t.Fatal(err)
	}
	for platform, why := range map[string]string{
		"": "", "linux/amd64": "", "amd64": "", "linux/arm64": "", "linux/arm64/v8": "", "linux/arm/v7": "",
		"linux/arm": "2 of its 5", "linux/arm/v5": "0 of its 5", "linux/s390x": "0 of its 5", "linux/amd64/v3": "0 of its 5",
	} {
		s := newStore(t)
		rec, err := s.pullText(t, r.host+"/app:v1", platform)
		if why != "" {
			if err == nil || !strings.Contains(err.Error(), why) || fault.Hint(err) == "" {
				t.Errorf("%s: %v", platform, err)
			}
			continue
		}
		want, _ := ParsePlatform(platform)
		if err != nil || rec.Platform.Architecture != want.Architecture {
			t.Errorf("%s: %+v, %v", platform, rec, err)
		}
		if !runsHere(want) {
			if _, err := s.openText(t, r.host+"/app:v1"); err == nil || !strings.Contains(err.Error(), "it is for linux/arm") {
				t.Errorf("running %s here: %v", platform, err)
			}
		}
	}
	for _, bad := range []string{"windows/amd64", "a/b/c/d", "/", "linux/amd64:1"} {
		if p, err := ParsePlatform(bad); err == nil || fault.Hint(err) == "" {
			t.Errorf("%q: %v, %v", bad, p, err)
		}
	}
}

// TestCredentials: those of docker are used, and asked for when they are missing.
func TestCredentials(t *testing.T) {
	r := newRegistry(t)
	r.push(t, small(t), "app:v1")
	r.between = func(w http.ResponseWriter, req *http.Request, _ http.Handler) bool {
		if user, password, ok := req.BasicAuth(); ok && user == "who" && password == "secret word" {
			return false
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	}
	s := newStore(t)
	_, err := s.pullText(t, r.host+"/app:v1", "")
	if err == nil || !strings.Contains(fault.Hint(err), "docker login "+r.host) {
		t.Errorf("without credentials: %v, next: %s", err, fault.Hint(err))
	}
	login := func(password string) {
		auth := base64.StdEncoding.EncodeToString([]byte("who:" + password))
		text := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, r.host, auth)
		if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	login("wrong word")
	_, err = s.pullText(t, r.host+"/app:v1", "")
	if err == nil || !strings.Contains(fault.Hint(err), "docker login") || strings.Contains(err.Error(), "wrong word") {
		t.Errorf("with wrong credentials: %v", err)
	}
	login("secret word")
	if _, err = s.pullText(t, r.host+"/app:v1", ""); err != nil {
		t.Error(err)
	}
}
