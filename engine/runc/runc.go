//go:build linux

// Package runc is the engine on the node's own kernel: namespaces and cgroups,
// nothing more. It is the control against which every stronger boundary is
// compared, and what a workload gets whose route allows a shared kernel.
package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	gorunc "github.com/containerd/go-runc"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/engine/cgroup"
	"github.com/bulkhead-dev/bulkhead/engine/cgroup/oom"
	"github.com/bulkhead-dev/bulkhead/engine/folder"
	"github.com/bulkhead-dev/bulkhead/engine/oci"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// Config says what the engine works with.
type Config struct {
	// Runc is the path of the runc binary.
	Runc string
	// StateDir is a folder of the caller's own (mode 0700) for bundles and state.
	StateDir string
	// NetworkNamespace is the path of a network namespace that sandboxes join;
	// empty: each has an empty one of its own.
	NetworkNamespace string
}

// Engine boots runc containers.
type Engine struct {
	config   Config
	rootless bool
}

// New returns the engine. It does no I/O: Probe says whether it can work here.
func New(c Config) *Engine {
	return &Engine{config: c, rootless: os.Geteuid() != 0}
}

// Name returns "runc".
func (e *Engine) Name() string { return "runc" }

// Boundary returns SharedKernel.
func (e *Engine) Boundary() boundary.Boundary { return boundary.SharedKernel }

// Probe reports whether runc is there.
func (e *Engine) Probe(context.Context) error {
	if e.config.Runc == "" {
		return fault.WithHint(fmt.Errorf("engine runc: no runc on PATH: %w", sandbox.ErrUnavailable), "install it (Debian: apt-get install runc)")
	}
	if _, err := exec.LookPath(e.config.Runc); err != nil {
		return fault.WithHint(fmt.Errorf("engine runc: %w: %w", err, sandbox.ErrUnavailable), "install it (Debian: apt-get install runc)")
	}
	return nil
}

// Unheld returns the limits that need a cgroup where none can be had.
func (e *Engine) Unheld(l sandbox.Limits) []sandbox.Unheld { return cgroup.Unheld(l) }

// Boot starts a container whose first process is the guest agent.
func (e *Engine) Boot(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	if !sandbox.ValidID(spec.ID) {
		return nil, fmt.Errorf("booting a sandbox: %q is not a valid id", spec.ID)
	}
	if err := sandbox.Check(e, spec.Limits); err != nil {
		return nil, fmt.Errorf("booting a sandbox: %w", err)
	}
	// What somebody else left is no reason to refuse; `bulkhead gc` says it.
	_ = e.Sweep(ctx)
	own, err := folder.Take(e.config.StateDir, e.Name(), spec.ID)
	if err != nil {
		return nil, err
	}
	s, err := e.boot(ctx, own, spec)
	if err != nil {
		return nil, errors.Join(err, own.Remove())
	}
	return s, nil
}

// Sweep cleans up after containers whose engine was killed.
func (e *Engine) Sweep(ctx context.Context) error {
	return folder.Sweep(e.config.StateDir, e.Name(), func(dir, id string) error {
		if err := folder.Kill(e.config.Runc, dir); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(dir, "state", id)); err == nil {
			client := &gorunc.Runc{Command: e.config.Runc, Root: filepath.Join(dir, "state"), Setpgid: true}
			// Killed while it made the container, runc may not know it any
			// more: then its groups are what is left.
			_ = client.Delete(ctx, id, &gorunc.DeleteOpts{Force: true})
		}
		if e.rootless {
			return nil
		}
		return cgroup.Remove(id)
	})
}

func (e *Engine) boot(ctx context.Context, own *folder.Folder, spec sandbox.Spec) (*container, error) {
	dir := own.Dir
	r := oci.Runtime{Network: e.config.NetworkNamespace}
	if e.rootless {
		r.MapUser, r.HostUID, r.HostGID = true, uint32(os.Geteuid()), uint32(os.Getegid())
	} else {
		r.CgroupsPath, r.SwapLimited = cgroup.Path(spec.ID), cgroup.SwapLimited()
	}
	if err := oci.WriteBundle(dir, spec, r); err != nil {
		return nil, err
	}
	host, stdin, stdout, err := oci.NewStream()
	if err != nil {
		return nil, err
	}
	// A group of its own keeps a terminal's Ctrl-C from runc: the CLI gets it
	// and ends the container in order.
	client := &gorunc.Runc{Command: e.config.Runc, Root: filepath.Join(dir, "state"), Setpgid: true}
	c := &container{id: spec.ID, folder: own, client: client, stream: host, stderr: &oci.Tail{}, done: make(chan struct{})}
	opts := &gorunc.CreateOpts{
		IO:      containerIO{stdin: stdin, stdout: stdout, stderr: c.stderr},
		PidFile: filepath.Join(dir, "pid"),
		// The group's counters say why the container ended; Close deletes it.
		ExtraArgs: []string{"--keep"},
	}
	go func() {
		defer close(c.done)
		// runc ends with its container. Nothing but Close may end it earlier.
		_, err := client.Run(context.WithoutCancel(ctx), spec.ID, dir, opts)
		_, _ = stdin.Close(), stdout.Close()
		c.ended(err)
	}()
	if err := c.awaitStart(ctx, opts.PidFile); err != nil {
		return nil, errors.Join(err, c.Close(context.WithoutCancel(ctx)))
	}
	_, _ = stdin.Close(), stdout.Close()
	return c, nil
}

// container is one runc container and the runc process in front of it.
type container struct {
	id     string
	folder *folder.Folder
	client *gorunc.Runc
	stream *oci.Stream
	stderr *oci.Tail
	done   chan struct{}

	mu     sync.Mutex
	err    error
	closed bool
}

// awaitStart returns once runc wrote the container's pid, which it does after
// it started the container's process.
func (c *container) awaitStart(ctx context.Context, pidFile string) error {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for {
		if _, err := os.Stat(pidFile); err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-c.done:
			return fault.WithHint(fmt.Errorf("booting a runc container: %s", c.stderr.String()), "see `runc --version`; as an unprivileged user, user namespaces are needed")
		case <-ctx.Done():
			return fmt.Errorf("booting a runc container: %w", ctx.Err())
		}
	}
}

func (c *container) ended(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err == nil || c.closed:
	case c.OOMKills() > 0:
		c.err = fault.WithHint(fault.WithCode(sandbox.ErrMemory, fault.Memory), "give it more memory: --memory")
	default:
		c.err = fmt.Errorf("the guest agent ended: %w: %s", err, c.stderr.String())
	}
}

// ID returns the sandbox's id.
func (c *container) ID() string { return c.id }

// Stream returns the byte stream to the guest agent.
func (c *container) Stream() io.ReadWriteCloser { return c.stream }

// OOMKills returns how many processes the kernel killed for the limit of memory.
func (c *container) OOMKills() int {
	dir, err := cgroup.Dir("memory", c.id)
	if err != nil {
		return 0
	}
	n, _ := oom.Kills(dir)
	return n
}

// Done is closed when the container ended.
func (c *container) Done() <-chan struct{} { return c.done }

// Err returns why the container ended.
func (c *container) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close kills the container, waits for runc to clean up, and removes the folder.
func (c *container) Close(ctx context.Context) error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	_ = c.stream.Close()
	select {
	case <-c.done:
	default:
		_ = c.client.Kill(ctx, c.id, int(syscall.SIGKILL), nil)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		return fmt.Errorf("destroying sandbox %s: %w", c.id, ctx.Err())
	}
	if _, err := os.Stat(filepath.Join(c.folder.Dir, "state", c.id)); err == nil {
		if err := c.client.Delete(ctx, c.id, &gorunc.DeleteOpts{Force: true}); err != nil {
			return fmt.Errorf("destroying sandbox %s: %w", c.id, err)
		}
	}
	if err := c.folder.Remove(); err != nil {
		return fmt.Errorf("removing the folder of sandbox %s: %w", c.id, err)
	}
	return nil
}

// containerIO hands the container its standard streams. It is go-runc's
// interface for it; the accessors are for streams that go-runc would make.
type containerIO struct {
	stdin, stdout *os.File
	stderr        io.Writer
}

func (i containerIO) Close() error          { return nil }
func (i containerIO) Stdin() io.WriteCloser { return nil }
func (i containerIO) Stdout() io.ReadCloser { return nil }
func (i containerIO) Stderr() io.ReadCloser { return nil }
func (i containerIO) Set(cmd *exec.Cmd) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = i.stdin, i.stdout, i.stderr
}
