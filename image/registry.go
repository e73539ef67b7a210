//go:build linux

package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/version"
)

// Bounds of a conversation with a registry. A layer has no time of its own: it
// may be large and the line thin, but it must not stand still.
const (
	dialTimeout   = 30 * time.Second
	headerTimeout = 60 * time.Second
	stallTimeout  = 60 * time.Second
	// blobTries is how often a layer is asked for when the line breaks.
	blobTries = 3
)

// repository reads one repository of a registry, with the credentials that
// `docker login` or `podman login` left.
type repository struct {
	ref    name.Reference
	puller *remote.Puller
}

func newRepository(ref name.Reference, keychain authn.Keychain) (*repository, error) {
	p, err := remote.NewPuller(
		remote.WithAuthFromKeychain(keychain),
		remote.WithTransport(newTransport(stallTimeout)),
		remote.WithUserAgent("bulkhead/"+version.String()))
	return &repository{ref, p}, err
}

// find returns the descriptor of the image for a platform.
func (r *repository) find(ctx context.Context, want v1.Platform) (v1.Descriptor, error) {
	d, err := r.puller.Get(ctx, r.ref)
	if err != nil {
		return v1.Descriptor{}, r.explain(err)
	}
	// The answer's own digest: of a tag, nothing else is known.
	d.Platform = nil
	return choose([]v1.Descriptor{d.Descriptor}, want, func(d v1.Descriptor) ([]byte, error) { return r.manifest(ctx, d) }, 0)
}

// manifest returns a manifest or an index, compared with its digest.
func (r *repository) manifest(ctx context.Context, d v1.Descriptor) ([]byte, error) {
	if d.Size > maxDocument {
		return nil, fmt.Errorf("%w: %s is larger than %d bytes", ErrHostile, d.Digest, maxDocument)
	}
	got, err := r.puller.Get(ctx, r.ref.Context().Digest(d.Digest.String()))
	if err != nil {
		return nil, r.explain(err)
	}
	if int64(len(got.Manifest)) != d.Size {
		return nil, errBroken(d.Digest)
	}
	return got.Manifest, nil
}

// open opens a blob. Read to its end, it is what the descriptor says. Where else
// a manifest says that it could be had is not asked.
func (r *repository) open(ctx context.Context, d v1.Descriptor) (io.ReadCloser, error) {
	l, err := r.puller.Layer(ctx, r.ref.Context().Digest(d.Digest.String()))
	if err != nil {
		return nil, r.explain(err)
	}
	body, err := l.Compressed()
	if err != nil {
		return nil, r.explain(err)
	}
	return checkedFile{newChecked(body, d), body}, nil
}

// explain adds the next step to what a registry answered.
func (r *repository) explain(err error) error {
	registry := r.ref.Context().RegistryStr()
	var answer *transport.Error
	switch {
	case errors.Is(err, errPlainHTTP):
		return fault.WithHint(err, "give the registry a certificate; only one on this machine (loopback) may do without")
	case errors.As(err, &answer) && (answer.StatusCode == http.StatusUnauthorized || answer.StatusCode == http.StatusForbidden):
		return fault.WithHint(err, fmt.Sprintf("check the name; if it is right, log in: `docker login %s` or `podman login %s`", registry, registry))
	case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		return fault.WithHint(err, "check the name and the tag")
	case errors.As(err, &answer) && answer.StatusCode == http.StatusTooManyRequests:
		return fault.WithHint(err, "wait, or log in: `docker login "+registry+"`")
	}
	return fault.WithHint(err, "check that "+registry+" can be reached from here; what was loaded completely is kept for the next try")
}

// hinted adds the next step to an error in the middle of a blob.
func (r *repository) hinted(err error) error {
	switch {
	case fault.Hint(err) != "" || full(err) || errors.Is(err, context.Canceled):
		return err
	case broken(err):
		return fault.WithHint(err, "try again: what was loaded completely is kept")
	}
	return fault.WithHint(err, "try again; if it stays so, tell whoever runs "+r.ref.Context().RegistryStr())
}

// broken reports whether the line broke, so that another try may help.
func broken(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, errStalled)
}

var (
	errPlainHTTP = errors.New("the registry does not speak TLS, and is not on this machine")
	errStalled   = fmt.Errorf("no byte came for %s", stallTimeout)
)

// guarded refuses plain HTTP to other machines, as docker does: names of layers
// and credentials would be anybody's, and so may a redirect lead there. And it
// ends what stands still.
type guarded struct {
	next  http.RoundTripper
	stall time.Duration
}

func newTransport(stall time.Duration) guarded {
	return guarded{&http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		IdleConnTimeout:        dialTimeout,
		MaxResponseHeaderBytes: 1 << 20,
		ForceAttemptHTTP2:      true,
		// What counts is the layer as it is stored.
		DisableCompression: true,
	}, stall}
}

func (g guarded) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && !loopback(req.URL.Hostname()) {
		return nil, errPlainHTTP
	}
	resp, err := g.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = &watched{body: resp.Body, stall: g.stall}
	return resp, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// watched is a body that fails when a read waits for longer than stall.
type watched struct {
	body    io.ReadCloser
	stall   time.Duration
	stalled atomic.Bool
}

func (w *watched) Read(p []byte) (int, error) {
	timer := time.AfterFunc(w.stall, func() {
		w.stalled.Store(true)
		_ = w.body.Close()
	})
	n, err := w.body.Read(p)
	timer.Stop()
	if err != nil && w.stalled.Load() {
		err = errStalled
	}
	return n, err
}

func (w *watched) Close() error { return w.body.Close() }
