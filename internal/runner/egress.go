//go:build linux

package runner

import (
	"context"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/agentapi"
	"github.com/bulkhead-dev/bulkhead/internal/egress"
)

// Way is a way out of a sandbox that is being served.
type Way struct {
	cancel context.CancelFunc
	client *agent.Client
	done   chan struct{}
}

// OpenEgress has the guest agent offer proxy to the sandbox, and serves it
// until Close. ctx bounds the guest agent's answer.
func OpenEgress(ctx context.Context, client *agent.Client, proxy *egress.Proxy) (*Way, error) {
	listener, err := client.Egress(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	w := &Way{cancel: cancel, client: client, done: make(chan struct{})}
	go func() { defer close(w.done); _ = proxy.Serve(ctx, listener, agentapi.MaxEgressConns) }()
	return w, nil
}

// Close ends every connection, and the client with them: the guest decides
// when a connection of its own ends, and the session when all do.
func (w *Way) Close() {
	w.cancel()
	_ = w.client.Close()
	<-w.done
}

// egressEnv tells programs of the way out. No variable names the SOCKS form,
// which is served at the same address: clients that know ALL_PROXY and not
// SOCKS (httpx, and with it most SDKs of models) fail at once when it does.
func egressEnv(p *egress.Proxy) []string {
	const proxy = "http://" + agentapi.EgressAddress
	env := []string{
		"HTTP_PROXY=" + proxy, "http_proxy=" + proxy, "HTTPS_PROXY=" + proxy, "https_proxy=" + proxy,
		"ALL_PROXY=" + proxy, "all_proxy=" + proxy,
		"NODE_USE_ENV_PROXY=1", // without it Node.js reads none of them
	}
	if !p.ReachesLoopback() {
		const local = "localhost,127.0.0.1,::1"
		env = append(env, "NO_PROXY="+local, "no_proxy="+local)
	}
	return env
}
