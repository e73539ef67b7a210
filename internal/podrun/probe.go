package podrun

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

const (
	// maxReason bounds the guest's words in a message.
	maxReason = 256
	// maxHeaderBytes bounds what an answer to a probe makes the host keep.
	maxHeaderBytes = 16 << 10
)

// watch does a container's hooks and probes while its command runs.
func (r *run) watch(ctx context.Context, c *container, cmd agent.Command, failed chan<- string) {
	if c.PostStart != nil {
		if err := do(ctx, c.client, *c.PostStart, cmd); err != nil && ctx.Err() == nil {
			failed <- fmt.Sprintf("postStart failed: %v", err)
			return
		}
	}
	if c.Startup != nil {
		started := false
		probe(ctx, c.client, c.Startup, cmd, func(ok bool, err error) bool {
			if started = ok; !ok {
				failed <- fmt.Sprintf("startup probe failed: %v", err)
			}
			return false
		})
		if !started {
			return
		}
	}
	c.upOnce.Do(func() { close(c.up) })
	if c.Readiness == nil {
		r.setReady(c, true, "")
	}
	var both sync.WaitGroup
	defer both.Wait()
	if c.Readiness != nil {
		both.Go(func() {
			probe(ctx, c.client, c.Readiness, cmd, func(ok bool, err error) bool {
				r.setReady(c, ok, fmt.Sprint(err))
				return true
			})
		})
	}
	if c.Liveness != nil {
		both.Go(func() {
			probe(ctx, c.client, c.Liveness, cmd, func(ok bool, err error) bool {
				if !ok {
					failed <- fmt.Sprintf("liveness probe failed: %v", err)
				}
				return ok
			})
		})
	}
}

// probe does p until ctx is over or tell returns false. tell is called each
// time when as many results in a row as p asks for are the same.
func probe(ctx context.Context, client *agent.Client, p *pod.Probe, cmd agent.Command, tell func(ok bool, err error) bool) {
	wait := p.Delay
	good, bad := 0, 0
	for {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
		began := time.Now()
		inTime, stop := context.WithTimeout(ctx, p.Timeout)
		err := do(inTime, client, p.Action, cmd)
		if err != nil && inTime.Err() != nil {
			err = fmt.Errorf("no answer within %s", p.Timeout)
		}
		stop()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			good, bad = good+1, 0
		} else {
			good, bad = 0, bad+1
		}
		if good >= p.Success && !tell(true, nil) || bad >= p.Failure && !tell(false, err) {
			return
		}
		wait = max(0, p.Period-time.Since(began))
	}
}

// setReady notes whether a container is ready, and says so when that changed.
func (r *run) setReady(c *container, ready bool, why string) {
	c.mu.Lock()
	changed := c.ready != ready
	c.ready, c.why = ready, why
	c.mu.Unlock()
	if changed && c.Readiness != nil && !r.ending() {
		if ready {
			r.say("container %s is ready", c.Name)
		} else {
			r.say("container %s is not ready: %s", c.Name, why)
		}
	}
	if ready {
		r.checkReady()
	}
}

// checkReady ends a pod that was to run until all of it is ready.
func (r *run) checkReady() {
	if !r.UntilReady {
		return
	}
	for _, c := range r.containers {
		c.mu.Lock()
		ok := c.Role == pod.Init || c.ready || c.done
		c.mu.Unlock()
		if !ok {
			return
		}
	}
	r.readyOnce.Do(func() {
		r.say("all containers are ready")
		close(r.isReady)
		r.stop()
	})
}

// sayNotReady names the containers that a pod that was to be ready waited for.
func (r *run) sayNotReady() {
	select {
	case <-r.isReady:
		return
	default:
	}
	for _, c := range r.containers {
		c.mu.Lock()
		waited := c.Role != pod.Init && !c.done && !c.ready
		why := c.why
		c.mu.Unlock()
		if waited {
			r.say("container %s was never ready: %s", c.Name, cmp.Or(why, "its probes did not succeed"))
		}
	}
}

// do does an action in the sandbox. cmd gives a command its environment and
// working directory. The error's text is partly the guest's.
func do(ctx context.Context, client *agent.Client, a pod.Action, cmd agent.Command) error {
	switch {
	case len(a.Exec) > 0:
		return execute(ctx, client, agent.Command{Args: a.Exec, Env: cmd.Env, Dir: cmd.Dir})
	case a.HTTP != nil:
		return get(ctx, client, a.HTTP)
	case a.Port != 0:
		conn, err := client.DialPort(ctx, a.Port)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	select {
	case <-time.After(a.Sleep):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func execute(ctx context.Context, client *agent.Client, cmd agent.Command) error {
	var said reason
	cmd.Stdout, cmd.Stderr = &said, &said
	p, err := client.Start(ctx, cmd)
	if err != nil {
		return err
	}
	exit, err := p.Wait(ctx)
	if err != nil {
		// Nobody waits for it any more, and it must not stay.
		_ = p.Signal(context.WithoutCancel(ctx), int(syscall.SIGKILL))
		return err
	}
	if exit.Code != 0 {
		return fmt.Errorf("exit code %d: %s", exit.Code, strings.TrimSpace(string(said.kept)))
	}
	return nil
}

// reason keeps the beginning of what is written to it.
type reason struct{ kept []byte }

func (r *reason) Write(p []byte) (int, error) {
	r.kept = append(r.kept, p[:min(len(p), maxReason-len(r.kept))]...)
	return len(p), nil
}

// get asks the pod itself. Nothing that it answers leads the host elsewhere.
func get(ctx context.Context, client *agent.Client, h *pod.HTTP) error {
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return client.DialPort(ctx, h.Port)
		},
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12},
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaderBytes,
	}
	scheme := "http"
	if h.TLS {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://localhost:"+strconv.Itoa(h.Port)+h.Path, http.NoBody)
	if err != nil {
		return fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("User-Agent", "bulkhead-probe")
	for _, header := range h.Headers {
		req.Header.Add(header[0], header[1])
	}
	if h.Host != "" {
		req.Host = h.Host
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode < 200 || res.StatusCode >= 400 {
		said, _ := io.ReadAll(io.LimitReader(res.Body, maxReason))
		return fmt.Errorf("status %d: %s", res.StatusCode, strings.TrimSpace(string(said)))
	}
	return nil
}
