//go:build linux

package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/bulkhead-dev/bulkhead/image/imagetest"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
)

// TestBrokenRegistry: what a registry, or the line to it, does wrong.
func TestBrokenRegistry(t *testing.T) {
	blobs := func(path string) bool { return strings.Contains(path, "/blobs/") }
	manifests := func(path string) bool { return strings.Contains(path, "/manifests/sha256:") }
	// changed passes on what the registry answers, changed.
	changed := func(of func(string) bool, change func(w http.ResponseWriter, body []byte)) func(http.ResponseWriter, *http.Request, http.Handler) bool {
		return func(w http.ResponseWriter, r *http.Request, reg http.Handler) bool {
			if r.Method != http.MethodGet || !of(r.URL.Path) {
				return false
			}
			rec := httptest.NewRecorder()
			reg.ServeHTTP(rec, r)
			w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
			change(w, rec.Body.Bytes())
			return true
		}
	}
	for _, tt := range []struct {
		name, why string
		between   func(http.ResponseWriter, *http.Request, http.Handler) bool
	}{
		{"another content of a layer", "checksum", changed(blobs, func(w http.ResponseWriter, b []byte) { b[len(b)/2] ^= 1; _, _ = w.Write(b) })},
		{"a layer that goes on", "does not match", changed(blobs, func(w http.ResponseWriter, b []byte) { _, _ = w.Write(append(b, 0)) })},
		{"an endless layer", "does not match", changed(blobs, func(w http.ResponseWriter, _ []byte) {
			w.Header().Set("Transfer-Encoding", "chunked")
			for buf := make([]byte, 1<<20); ; {
				if _, err := w.Write(buf); err != nil {
					return
				}
			}
		})},
		{"a layer that is missing", "404", changed(blobs, func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusNotFound) })},
		{"another manifest", "does not match", changed(manifests, func(w http.ResponseWriter, b []byte) { _, _ = w.Write(append(b, ' ')) })},
		{"no image", "404", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
			w.WriteHeader(http.StatusNotFound)
			return true
		}},
		{"a redirect to the metadata service", "SSRF", changed(blobs, func(w http.ResponseWriter, _ []byte) {
			w.Header().Set("Location", "http://169.254.169.254/latest/meta-data/")
			w.WriteHeader(http.StatusFound)
		})},
		{"a redirect to plain HTTP", "does not speak TLS", changed(blobs, func(w http.ResponseWriter, _ []byte) {
			w.Header().Set("Location", "http://registry.example/x")
			w.WriteHeader(http.StatusFound)
		})},
		{"a token from plain HTTP", "does not speak TLS", func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://tokens.example/token",service="x"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRegistry(t)
			r.push(t, small(t), "app:v1")
			r.between = tt.between
			s := newStore(t)
			_, err := s.pullText(t, r.host+"/app:v1", "")
			if err == nil || !strings.Contains(err.Error(), tt.why) {
				t.Fatalf("error %v, want one that says %q", err, tt.why)
			}
			if fault.Hint(err) == "" {
				t.Errorf("no next step: %v", err)
			}
			if got := left(t, s); !strings.HasPrefix(got, "0 names, 0 roots") {
				t.Errorf("left: %s", got)
			}
			if half, _ := filepath.Glob(filepath.Join(s.dir, "blobs", "sha256", newPrefix+"*")); len(half) != 0 {
				t.Errorf("left: %v", half)
			}
		})
	}
}

// TestHostileManifests: an image that is refused leaves nothing in the store.
func TestHostileManifests(t *testing.T) {
	climbs := imagetest.Image{Layers: [][]byte{imagetest.Layer(t, imagetest.File("../x", "1"))}}
	for name, i := range map[string]imagetest.Image{
		"leaves the image":               climbs,
		"is not that of a container":     {Layers: small(t).Layers, MediaType: "application/vnd.example.layer"},
		"layers are larger than":         small(t),
		"names no layers":                {},
		"it is for linux/s390x":          {Layers: small(t).Layers, Arch: "s390x"},
		"is not a variable of an enviro": {Layers: small(t).Layers, Config: v1.Config{Env: []string{"=x"}}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t)
			r.push(t, i, "app:v1")
			s := newStore(t)
			if name == "layers are larger than" {
				s.limits.bytes = 100
			}
			_, err := s.pullText(t, r.host+"/app:v1", "")
			if err == nil || !strings.Contains(err.Error(), name) || fault.Hint(err) == "" {
				t.Errorf("%v", err)
			}
			if got := left(t, s); got != "0 names, 0 roots, 0 blobs/sha256" && errors.Is(err, ErrHostile) {
				t.Errorf("left: %s", got)
			}
		})
	}
}

// TestBrokenLine: a layer whose line broke is asked for again, and what came
// before is not loaded twice.
func TestBrokenLine(t *testing.T) {
	r := newRegistry(t)
	i := small(t)
	img := r.push(t, i, "app:v1")
	second := "/v2/app/blobs/" + layers(t, img)[1].Digest.String()
	var cuts atomic.Int32
	r.between = func(w http.ResponseWriter, req *http.Request, reg http.Handler) bool {
		if req.Method != http.MethodGet || req.URL.Path != second || cuts.Add(-1) < 0 {
			return false
		}
		rec := httptest.NewRecorder()
		reg.ServeHTTP(rec, req)
		w.Header().Set("Content-Length", fmt.Sprint(rec.Body.Len()))
		_, _ = w.Write(rec.Body.Bytes()[:10])
		return true
	}
	s := newStore(t)
	cuts.Store(100)
	if _, err := s.pullText(t, r.host+"/app:v1", ""); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut each time: %v", err)
	}
	cuts.Store(blobTries - 1)
	if _, err := s.pullText(t, r.host+"/app:v1", ""); err != nil {
		t.Errorf("cut %d times: %v", blobTries-1, err)
	}
	n, _ := r.gets.Load("/v2/app/blobs/" + layers(t, img)[0].Digest.String())
	if got := n.(*atomic.Int32).Load(); got != 1 {
		t.Errorf("the first layer was loaded %d times", got)
	}
}

// TestStall: a line that stands still is given up.
func TestStall(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("beginning"))
		w.(http.Flusher).Flush()
		<-release
	}))
	defer s.Close()
	defer close(release)
	client := http.Client{Transport: newTransport(50 * time.Millisecond)}
	resp, err := client.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); !errors.Is(err, errStalled) || string(text) != "beginning" {
		t.Errorf("%q, %v", text, err)
	}
}

// TestPlainHTTP: only this machine is spoken to without TLS.
func TestPlainHTTP(t *testing.T) {
	for url, refused := range map[string]bool{
		"http://10.0.0.1:5000/v2/": true, "http://registry.local/v2/": true, "http://127.0.0.1.example/v2/": true, "http://169.254.169.254/": true,
		"http://127.0.0.1:1/": false, "http://localhost:1/": false, "http://[::1]:1/": false, "https://192.0.2.1:1/": false,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = newTransport(time.Second).RoundTrip(req) //nolint:bodyclose // none answers
		if err == nil || errors.Is(err, errPlainHTTP) != refused {
			t.Errorf("%s: %v", url, err)
		}
		cancel()
	}
}

// TestOtherSources: where else a layer could be had, as its manifest says, is not
// asked: it is how an image makes the host fetch things.
func TestOtherSources(t *testing.T) {
	var asked atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer elsewhere.Close()
	r := newRegistry(t)
	img := small(t).Build(t)
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	with, err := mutate.Append(img, mutate.Addendum{Layer: ls[0], URLs: []string{elsewhere.URL + "/layer"}})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := name.ParseReference(r.host + "/app:v1")
	if err == nil {
		err = remote.Write(ref, with)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.between = func(w http.ResponseWriter, req *http.Request, _ http.Handler) bool {
		if strings.Contains(req.URL.Path, "/blobs/") {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		return false
	}
	if _, err := newStore(t).pullText(t, r.host+"/app:v1", ""); err == nil {
		t.Error("pulled")
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("asked %d times", n)
	}
}
