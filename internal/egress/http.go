package egress

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"time"
)

// ServeHTTP answers CONNECT, and requests for http URLs. For https a guest asks
// for CONNECT: the host ends no TLS of others.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodConnect:
		p.tunnel(w, r)
	case r.URL.Scheme == "http" && r.URL.Host != "":
		p.forward.ServeHTTP(w, r)
	default:
		http.Error(w, "bulkhead: this is a proxy: send CONNECT, or a request for an http:// URL", http.StatusBadRequest)
	}
}

func (p *Proxy) tunnel(w http.ResponseWriter, r *http.Request) {
	hostText, port, err := net.SplitHostPort(r.RequestURI)
	if err != nil {
		refuseHTTP(w, p.malformed(r.RequestURI, errors.New("not HOST:PORT")))
		return
	}
	t, err := parseTarget(hostText, port)
	if err != nil {
		refuseHTTP(w, p.malformed(r.RequestURI, err))
		return
	}
	remote, err := p.dial(r.Context(), t)
	if err != nil {
		refuseHTTP(w, err)
		return
	}
	hijacker, ok := w.(http.Hijacker)
	if !ok {
		_ = remote.Close()
		return
	}
	guest, buffered, err := hijacker.Hijack()
	if err != nil {
		_ = remote.Close()
		return
	}
	_ = guest.SetDeadline(time.Time{})
	if _, err := guest.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		_, _ = guest.Close(), remote.Close()
		return
	}
	// What the guest sent behind its header is already here.
	early, _ := buffered.Peek(buffered.Reader.Buffered())
	if _, err := remote.Write(early); err != nil {
		_, _ = guest.Close(), remote.Close()
		return
	}
	relay(r.Context(), guest, remote)
}

// malformed is a denial of what is no target at all. It is shown quoted.
func (p *Proxy) malformed(text string, err error) error {
	const shown = 80
	if len(text) > shown {
		text = text[:shown] + "..."
	}
	return p.deny(Denial{Target: strconv.QuoteToASCII(text), Reason: err.Error()})
}

// refuseHTTP tells the guest that it may not, or that it could not.
func refuseHTTP(w http.ResponseWriter, err error) {
	w.Header().Set("Connection", "close")
	var d Denial
	if errors.As(err, &d) {
		http.Error(w, "bulkhead: "+d.Error(), http.StatusForbidden)
		return
	}
	http.Error(w, "bulkhead: "+errUnreachable.Error(), http.StatusBadGateway)
}

// newForward forwards requests for http URLs. The host of the URL decides; the
// server put it in place of what the Host header said.
func (p *Proxy) newForward() http.Handler {
	return &httputil.ReverseProxy{
		// With Rewrite, nothing of this machine is added (X-Forwarded-For).
		Rewrite: func(*httputil.ProxyRequest) {},
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
				hostText, port, err := net.SplitHostPort(addr)
				if err != nil {
					return nil, p.malformed(addr, err)
				}
				t, err := parseTarget(hostText, port)
				if err != nil {
					return nil, p.malformed(addr, err)
				}
				return p.dial(ctx, t)
			},
			DisableCompression:     true,
			DisableKeepAlives:      true,
			ResponseHeaderTimeout:  time.Minute,
			MaxResponseHeaderBytes: maxHeaderBytes,
		},
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, err error) { refuseHTTP(w, err) },
	}
}
