//go:build linux

package sandboxtest

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/agentapi"
	"github.com/bulkhead-dev/bulkhead/internal/egress"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
)

// egress: without a device, the stream is the only way out, and the rules on
// the host decide what it leads to.
func (s *suite) egress(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 512<<10) // 8 MiB
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			n, _ := io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, n)
			return
		}
		if r.URL.Path == "/small" {
			_, _ = w.Write(body[:100])
			return
		}
		_, _ = w.Write(body)
	}))
	defer server.Close()
	addr := server.Listener.Addr().String()
	c, _ := s.boot(t, s.spec())
	if got := s.sh(t, c, "curl -s -m 5 --noproxy '*' http://"+addr); got.code == 0 {
		t.Fatalf("the host's server is reached without a way out: %+v", got)
	}
	rules, err := egress.ParseRules([]string{addr})
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var denied []string
	way, err := runner.OpenEgress(t.Context(), c, egress.New(rules, func(d egress.Denial) {
		mu.Lock()
		defer mu.Unlock()
		denied = append(denied, d.Target)
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer way.Close()
	const curl = "curl -sS --noproxy '' -m 20 -x "
	for _, form := range []string{
		"http://" + agentapi.EgressAddress,
		"http://" + agentapi.EgressAddress + " -p",
		"socks5h://" + agentapi.EgressAddress,
	} {
		if got := s.sh(t, c, curl+form+" http://"+addr+" | sha256sum"); got.code != 0 || !strings.HasPrefix(got.stdout, fmt.Sprintf("%x", sha256.Sum256(body))) {
			t.Errorf("through %s: %+v", form, got)
		}
	}
	if got := s.sh(t, c, "head -c 8388608 /dev/zero | "+curl+agentapi.EgressAddress+" --data-binary @- http://"+addr); got.stdout != "8388608" {
		t.Errorf("8 MiB out: %+v", got)
	}
	// More at a time than there are places: they wait for each other.
	many := fmt.Sprintf("for i in $(seq %d); do %s http://%s -o /dev/null http://%s/small & done; wait; echo done", 2*agentapi.MaxEgressConns, curl, agentapi.EgressAddress, addr)
	if got := s.sh(t, c, many); got.stdout != "done\n" || got.stderr != "" {
		t.Errorf("many at a time: %+v", got)
	}
	if got := s.sh(t, c, curl+agentapi.EgressAddress+" https://example.com"); got.code == 0 {
		t.Errorf("what no rule names is reached: %+v", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(denied) != 1 || denied[0] != "example.com:443" {
		t.Errorf("denied %q", denied)
	}
}
