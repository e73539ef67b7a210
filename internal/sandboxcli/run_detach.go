//go:build linux

package sandboxcli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/keeper"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
	"github.com/bulkhead-dev/bulkhead/internal/version"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// maxKeepRequest bounds what a keeper reads.
const maxKeepRequest = 16 << 20

// runDetached hands the sandbox to a keeper, a process that goes on when this
// one ends, and prints its name once it is up.
func (f runFlags) runDetached(ctx context.Context, s console.Streams, req runner.Request) error {
	keep := keeper.Request{
		Name: cmp.Or(f.name, req.Spec.ID), Engine: req.Engine.Name(), Platform: platformOf(req.Engine), Minimum: req.Minimum, Spec: req.Spec, Allow: f.allow,
		Args: req.Command.Args, Dir: req.Command.Dir, Timeout: req.Timeout,
	}
	// Every command in it gets them, as in a container.
	keep.Spec.Env = append(keep.Spec.Env, req.Command.Env...)
	return f.keepDetached(ctx, s, keep)
}

// runPodDetached does the same with a pod.
func (f runFlags) runPodDetached(ctx context.Context, s console.Streams, r podRun) error {
	place := r.req.Place
	p := *r.pod
	p.Volumes, p.Containers = nil, slices.Clone(p.Containers)
	for i := range p.Containers {
		p.Containers[i].Own = pod.Own{} // the specs have it
	}
	return f.keepDetached(ctx, s, keeper.Request{
		Name: cmp.Or(f.name, place.Spec.ID), Engine: place.Engine.Name(), Platform: platformOf(place.Engine), Minimum: place.Minimum, Spec: place.Spec, Allow: f.allow,
		Pod: &p, Containers: r.specs, Room: place.Pod,
	})
}

func (f runFlags) keepDetached(ctx context.Context, s console.Streams, keep keeper.Request) error {
	if err := startKeeper(ctx, f.parts.Keeper, keep); err != nil {
		return err
	}
	fmt.Fprintln(s.Out, keep.Name)
	return nil
}

// startKeeper starts a keeper, which binary is, in a session of its own and waits for its answer.
func startKeeper(ctx context.Context, binary string, req keeper.Request) error {
	exe := "/proc/self/exe"
	if binary != "" {
		if exe = console.Companion(binary); exe == "" {
			return fault.WithHint(fmt.Errorf("%s not found, which keeps named sandboxes: %w", binary, sandbox.ErrUnavailable), "put it beside this binary or on PATH")
		}
	}
	req.Version = version.String()
	input, err := json.Marshal(req)
	if err != nil {
		return fmt.Errorf("starting the keeper of the sandbox: %w", err)
	}
	if len(input) > maxKeepRequest {
		return fault.WithHint(fmt.Errorf("starting the keeper of the sandbox: what it is made from has %d bytes, and at most %d can be kept", len(input), maxKeepRequest),
			"mount large files with -v in place of ConfigMaps and Secrets, or leave out --detach")
	}
	answer, theirs, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting the keeper of the sandbox: %w", err)
	}
	defer answer.Close()
	cmd := exec.CommandContext(ctx, exe, keepVerb)
	cmd.Args[0], cmd.Dir = "bulkhead", "/"
	// Not the caller's environment: it would stay readable as long as the keeper lives.
	for _, name := range []string{"PATH", "HOME", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "BULKHEAD_DEBUG_LOG"} {
		if value, ok := os.LookupEnv(name); ok {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
	}
	cmd.Stdin = bytes.NewReader(input)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return fmt.Errorf("starting the keeper of the sandbox: %w", err)
	}
	if err := keeper.ReadAnswer(answer); err != nil {
		_ = cmd.Wait()
		return err
	}
	return cmd.Process.Release()
}

func newKeep(console.Streams) *cobra.Command {
	return &cobra.Command{
		Use: keepVerb, Hidden: true, Args: cobra.NoArgs,
		Short: "Keep a named sandbox (bulkhead run --detach starts this)",
		RunE:  func(cmd *cobra.Command, _ []string) error { return keepSandbox(cmd.Context()) },
	}
}

// keepSandbox reads a request from standard input, answers on descriptor 3, and
// keeps the sandbox.
func keepSandbox(ctx context.Context) error {
	answer := os.NewFile(3, "answer")
	ready := func(err error) error {
		return errors.Join(keeper.Answer(answer, err), answer.Close())
	}
	var req keeper.Request
	if err := json.NewDecoder(io.LimitReader(os.Stdin, maxKeepRequest)).Decode(&req); err != nil {
		return console.UsageError(fmt.Errorf("reading what to keep: %w", err), "this verb is for `bulkhead run --detach`")
	}
	if req.Version != version.String() {
		return ready(fault.WithHint(fmt.Errorf("bulkhead is of version %s, and who asks it to keep a sandbox of %s", version.String(), req.Version),
			"install all binaries from one release, or run `make build`"))
	}
	// The terminal of who started it is not this process's.
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	state, err := StateDir()
	if err != nil {
		return ready(err)
	}
	engine, err := namedEngine(state, req.Engine, req.Platform)
	if err != nil {
		return ready(err)
	}
	return keeper.NewStore(state).Keep(ctx, engine, req, ready)
}

func namedEngine(state, name, platform string) (sandbox.Engine, error) {
	for _, e := range engines(state, platform) {
		if e.Name() == name {
			return e, nil
		}
	}
	return nil, fault.WithHint(fmt.Errorf("unknown engine %q", name), "it is one of gvisor, runc")
}
