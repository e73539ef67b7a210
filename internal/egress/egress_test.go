package egress

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// public stands for an address of the internet: connecting to it reaches the
// test's server.
var public = netip.MustParseAddr("93.184.216.34")

// served is a proxy with a made-up resolver, and what it was asked.
type served struct {
	proxy *Proxy
	addr  string

	mu        sync.Mutex
	denials   []Denial
	resolved  []string
	connected []string
}

func serve(t *testing.T, rules []string, names map[string][]string, upstream string) *served {
	t.Helper()
	return serveNames(t, rules, func(name string) []string { return names[name] }, upstream)
}

func serveNames(t *testing.T, rules []string, names func(string) []string, upstream string) *served {
	t.Helper()
	parsed, err := ParseRules(rules)
	if err != nil {
		t.Fatal(err)
	}
	s := &served{}
	s.proxy = New(parsed, func(d Denial) { s.mu.Lock(); defer s.mu.Unlock(); s.denials = append(s.denials, d) })
	s.proxy.resolve = func(_ context.Context, name string) ([]netip.Addr, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.resolved = append(s.resolved, name)
		var out []netip.Addr
		for _, a := range names(strings.TrimSuffix(name, ".")) {
			out = append(out, netip.MustParseAddr(a))
		}
		if out == nil {
			return nil, errors.New("no such name")
		}
		return out, nil
	}
	s.proxy.connect = func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		s.mu.Lock()
		s.connected = append(s.connected, to.String())
		s.mu.Unlock()
		if upstream == "" {
			return nil, errors.New("refused")
		}
		var d net.Dialer
		return d.DialContext(ctx, "tcp", upstream)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.proxy.Serve(ctx, l, 8) }()
	t.Cleanup(func() { cancel(); l.Close(); <-done })
	return s
}

// ask sends bytes and returns what comes back until the proxy closes, or nothing comes for a time.
func (s *served) ask(t *testing.T, request string) string {
	t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(c, request)
	answer, _ := io.ReadAll(c)
	return string(answer)
}

func web(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "host %s, via %q", r.Host, r.Header.Get("X-Forwarded-For")+r.Header.Get("Proxy-Authorization"))
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func TestRequests(t *testing.T) {
	names := map[string][]string{"ok.example": {public.String()}, "inside.example": {"169.254.169.254"}, "mixed.example": {"10.0.0.1", public.String()}}
	s := serve(t, []string{"ok.example", "ok.example:80", "inside.example:80", "mixed.example:80", "*.wild.example"}, names, web(t))
	const get = "GET / HTTP/1.1\r\nHost: ok.example\r\nConnection: close\r\n\r\n"
	for _, tt := range []struct{ name, request, want string }{
		{"absolute form", "GET http://ok.example/ HTTP/1.1\r\nHost: evil.example\r\nProxy-Authorization: secret\r\nConnection: close\r\n\r\n", "host ok.example, via \"\""},
		{"connect", "CONNECT ok.example:80 HTTP/1.1\r\nHost: evil.example:1\r\n\r\n" + get, "host ok.example"},
		{"socks", "\x05\x01\x00\x05\x01\x00\x03\x0aok.example\x00\x50" + get, "host ok.example"},
		{"one address of two", "GET http://mixed.example/ HTTP/1.0\r\n\r\n", "host mixed.example"},
		{"not named", "CONNECT no.example:443 HTTP/1.1\r\n\r\n", "403"},
		{"another port", "CONNECT ok.example:22 HTTP/1.1\r\nHost: x\r\n\r\n", "403"},
		{"metadata behind a name", "GET http://inside.example/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "403"},
		{"address", "CONNECT 93.184.216.34:443 HTTP/1.1\r\nHost: x\r\n\r\n", "403"},
		{"hidden address", "CONNECT 0x7f.1:80 HTTP/1.1\r\nHost: x\r\n\r\n", "403"},
		{"no such name", "CONNECT a.wild.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", "502"},
		{"origin form", "GET / HTTP/1.1\r\nHost: ok.example\r\nConnection: close\r\n\r\n", "400"},
		{"https by the host", "GET https://ok.example/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "400"},
		{"header too long", "GET http://ok.example/ HTTP/1.1\r\nA: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", "431"},
		{"not HTTP", "\x16\x03\x01\x00\r\n\r\n", "400"},
		{"socks, not allowed", "\x05\x01\x00\x05\x01\x00\x01\x7f\x00\x00\x01\x00\x50", "\x05\x00\x05\x02"},
		{"socks, bind", "\x05\x01\x00\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", "\x05\x00\x05\x07"},
		{"socks, password only", "\x05\x01\x02", "\x05\xff"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := s.ask(t, tt.request); !strings.Contains(got, tt.want) {
				t.Errorf("answer %q, want %q", got, tt.want)
			}
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, to := range s.connected {
		if !strings.HasPrefix(to, public.String()+":") {
			t.Errorf("connected to %s, which was not checked", to)
		}
	}
	for _, name := range s.resolved {
		if strings.HasPrefix(name, "no.") {
			t.Errorf("resolved %s, which no rule names", name)
		}
	}
}

// TestRebinding: the resolver answers otherwise each time; what is connected to
// is what was checked.
func TestRebinding(t *testing.T) {
	calls := 0
	s := serveNames(t, []string{"a.example:80"}, func(string) []string {
		if calls++; calls == 1 {
			return []string{public.String()}
		}
		return []string{"127.0.0.1"}
	}, web(t))
	if got := s.ask(t, "GET http://a.example/ HTTP/1.0\r\n\r\n"); !strings.Contains(got, "200 OK") {
		t.Errorf("first: %q", got)
	}
	if got := s.ask(t, "GET http://a.example/ HTTP/1.0\r\n\r\n"); !strings.Contains(got, "403") {
		t.Errorf("rebound: %q", got)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if want := []string{public.String() + ":80"}; !slices.Equal(s.connected, want) {
		t.Errorf("connected to %v, want %v", s.connected, want)
	}
}

// TestNamedAddress: a rule that names the address lets names lead to it.
func TestNamedAddress(t *testing.T) {
	names := map[string][]string{"db.example": {"10.0.0.5"}}
	if got := serve(t, []string{"db.example:80"}, names, web(t)).ask(t, "GET http://db.example/ HTTP/1.0\r\n\r\n"); !strings.Contains(got, "403") {
		t.Errorf("the name alone: %q", got)
	}
	if got := serve(t, []string{"db.example:80", "10.0.0.5:80"}, names, web(t)).ask(t, "GET http://db.example/ HTTP/1.0\r\n\r\n"); !strings.Contains(got, "200 OK") {
		t.Errorf("name and address: %q", got)
	}
	if got := serve(t, []string{"localhost:80"}, nil, web(t)).ask(t, "GET http://localhost/ HTTP/1.0\r\n\r\n"); !strings.Contains(got, "200 OK") {
		t.Errorf("localhost: %q", got)
	}
}

func TestDenialsAreToldOnce(t *testing.T) {
	s := serve(t, nil, nil, "")
	for range 3 {
		s.ask(t, "CONNECT a.example:443 HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	s.mu.Lock()
	told := slices.Clone(s.denials)
	s.mu.Unlock()
	if len(told) != 1 || told[0] != (Denial{"a.example:443", "no --allow names it", "a.example"}) {
		t.Errorf("told %+v", told)
	}
	for i := range 2 * maxDenials {
		_ = s.proxy.deny(Denial{Target: fmt.Sprint(i)})
	}
	if len(s.denials) != maxDenials+1 {
		t.Errorf("a flood of denials was told %d times", len(s.denials))
	}
}

// TestLimit: more connections than the limit wait; those before them still work.
func TestLimit(t *testing.T) {
	s := serve(t, []string{"a.example:80"}, map[string][]string{"a.example": {public.String()}}, web(t))
	var held []net.Conn
	for range 8 {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	for _, c := range held[1:] {
		defer c.Close()
	}
	next := make(chan string)
	go func() { next <- s.ask(t, "GET http://a.example/ HTTP/1.0\r\n\r\n") }()
	select {
	case got := <-next:
		t.Errorf("a ninth connection was served: %q", got)
	case <-time.After(100 * time.Millisecond):
	}
	held[0].Close()
	if got := <-next; !strings.Contains(got, "200 OK") {
		t.Errorf("the connection that waited: %q", got)
	}
}

// TestTunnelHalfClose: what the remote still says after the guest said its last
// arrives, and megabytes pass unchanged.
func TestTunnelHalfClose(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		all, _ := io.ReadAll(c)
		_, _ = c.Write(all)
	}()
	s := serve(t, []string{"a.example"}, map[string][]string{"a.example": {public.String()}}, l.Addr().String())
	body := strings.Repeat("0123456789abcdef", 256<<10)
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		_, _ = io.WriteString(c, "CONNECT a.example:443 HTTP/1.1\r\nHost: x\r\n\r\n"+body)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, _ := io.ReadAll(c)
	if _, echoed, _ := strings.Cut(string(got), "\r\n\r\n"); echoed != body {
		t.Errorf("%d bytes came back as %d", len(body), len(echoed))
	}
}

// FuzzGuest feeds the proxy what a guest could send.
func FuzzGuest(f *testing.F) {
	for _, s := range []string{"\x05\x01\x00\x05\x01\x00\x03\x01a\x00\x50", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "GET http://a/ HTTP/1.0\r\n\r\n", "\x04\x01"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p := New(Rules{}, func(Denial) {})
		p.resolve = func(context.Context, string) ([]netip.Addr, error) { t.Error("resolved"); return nil, io.EOF }
		p.connect = func(context.Context, netip.AddrPort) (net.Conn, error) { t.Error("connected"); return nil, io.EOF }
		host, guest := net.Pipe()
		l := &once{conn: make(chan net.Conn, 1)}
		l.conn <- host
		done := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { defer close(done); _ = p.Serve(ctx, l, 1) }()
		go func() { _, _ = io.Copy(io.Discard, bufio.NewReader(guest)) }()
		_ = guest.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(guest, bytes.NewReader(data))
		_ = guest.Close()
		cancel()
		close(l.conn)
		<-done
	})
}

// once is a listener of one connection.
type once struct{ conn chan net.Conn }

func (o *once) Accept() (net.Conn, error) {
	c, ok := <-o.conn
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (o *once) Close() error   { return nil }
func (o *once) Addr() net.Addr { return &net.TCPAddr{} }
