//go:build linux

package sandboxcli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/engine/gvisor"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// tmpfsBytes bounds each writable folder of a sandbox, unless --disk or a
// manifest says otherwise.
const tmpfsBytes = 512 << 20

// runFlags are the flags of `bulkhead run`.
type runFlags struct {
	engine      string
	platform    string
	minBoundary string
	interactive bool
	tty         bool
	env         []string
	volumes     []string
	workdir     string
	timeout     time.Duration
	file        string
	config      string
	pod         string
	probe       bool
	image       string
	pull        string
	allow       []string
	limits      limitFlags
	detach      bool
	name        string
	user        string
	unsafeMount bool

	parts Parts
}

func newRun(s console.Streams, parts Parts) *cobra.Command {
	f := runFlags{parts: parts}
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARG]...",
		Short: "Run a command behind an isolation boundary on this machine",
		Long: `Run a command in a sandbox of its own: the host's /usr read-only, an /etc made
up for it, empty /tmp and home, no network device, nothing of the host's
environment. The sandbox is gone when the command ends.

With --image the root file system is a container image, read-only, with the
image's environment, user, working directory and command as docker takes them,
except that an image that names no user does not run as root.

Without a manifest the weakest boundary is user-kernel (gVisor); nothing weaker
is taken unless --min-boundary says so. With -f, the manifest's risk class and
the routes decide, and a boundary that cannot be had here is refused. All
containers of the pod run in one sandbox, with init containers, sidecars,
variables, ConfigMaps and Secrets of the same file, probes and restarts as on a
cluster; what cannot be given is refused or said.

The exit code is the command's, or 128+n when signal n ended it. 124: --timeout
was over. 137: also, --memory or --output-limit was reached. 125: Bulkhead
failed. 126: the command cannot be executed. 127: it was not found.`,
		Example: `  bulkhead run -- python3 -c 'print(6 * 7)'
  echo hello | bulkhead run -i -- tr a-z A-Z
  bulkhead run -it -- bash
  bulkhead run -v ./work:/work:ro -e MODE=test --timeout 30s -- python3 /work/job.py
  bulkhead run --allow pypi.org --allow files.pythonhosted.org -- pip download six
  bulkhead run --memory 512m --cpus 1 --disk 64m --output-limit 16m -- python3 -c 'print(6 * 7)'
  bulkhead run --detach --name dev -v ./work:/work && bulkhead exec -it dev bash
  bulkhead run --image debian:12 -- cat /etc/os-release
  bulkhead run --image docker-archive:app.tar
  bulkhead run -f pod.yaml --image host
  bulkhead run -f stack.yaml --pod web --image host --probe`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return runErrorCode(runCommand(cmd.Context(), s, f, args))
		},
	}
	// 2, the code of a usage error elsewhere, may be the command's own here.
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return runUsage(err.Error(), "see `bulkhead run --help`")
	})
	f.register(cmd)
	return cmd
}

// register declares the flags of cmd. The command in the sandbox has its own.
func (f *runFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.SetInterspersed(false)
	fl.StringVar(&f.engine, "engine", "", "engine: gvisor or runc (default: the first that gives the boundary here)")
	fl.StringVar(&f.platform, "platform", "", "how gVisor runs code: systrap (default), kvm, or auto: kvm if a program runs on it here, and a word if not")
	fl.StringVar(&f.minBoundary, "min-boundary", "", "weakest boundary: shared-kernel, user-kernel (default) or virtual-machine")
	fl.BoolVarP(&f.interactive, "interactive", "i", false, "pass standard input to the command")
	fl.BoolVarP(&f.tty, "tty", "t", false, "give the command a terminal")
	fl.StringArrayVarP(&f.env, "env", "e", nil, "set K=V in the command's environment, or pass K on")
	fl.StringArrayVarP(&f.volumes, "volume", "v", nil, "mount SRC:DST, read-only unless :rw is added")
	fl.BoolVar(&f.unsafeMount, "allow-unsafe-mount", false, "take a mount that exposes the host's root, kernel, secrets or runtime sockets")
	fl.StringVarP(&f.user, "user", "u", "", "run as UID[:GID], or NAME[:GROUP] of the image (default: the image's user, or one without rights)")
	fl.StringVarP(&f.workdir, "workdir", "w", "", "working directory in the sandbox (default: the image's, or the home folder)")
	fl.DurationVar(&f.timeout, "timeout", 0, "end the command after this wall time, with exit code 124")
	f.limits.register(cmd)
	fl.StringVarP(&f.file, "file", "f", "", "run the pod of this manifest by its route")
	fl.StringVar(&f.pod, "pod", "", "which workload of the manifest, as NAME or KIND/NAME, where it has several")
	fl.BoolVar(&f.probe, "probe", false, "with -f: end with code 0 as soon as every container is ready, by its readiness and startup probes")
	fl.StringVar(&f.config, "config", "", "bulkhead.yaml with routes and waivers, for -f (default: found upwards)")
	fl.StringVar(&f.image, "image", "", "root file system: host (the host's toolchain), NAME[:TAG|@DIGEST] of a registry, oci:DIR[:TAG] or docker-archive:FILE; with -f it replaces the pod's image")
	fl.StringVar(&f.pull, "pull", "", "ask the registry for the image: missing (default), always or never; with -f the pod's imagePullPolicy says it")
	fl.BoolVarP(&f.detach, "detach", "d", false, "keep the sandbox in the background, for exec, cp and logs; without a command it waits")
	fl.StringVar(&f.name, "name", "", "name of a detached sandbox (default: made up)")
	fl.StringArrayVar(&f.allow, "allow", nil, "let the command reach HOST[:PORT] through a proxy (port: 443; *.DOMAIN, addresses and networks too)")
	_ = cmd.RegisterFlagCompletionFunc("engine", cobra.FixedCompletions([]string{"gvisor", "runc"}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("platform", cobra.FixedCompletions([]string{gvisor.Systrap, gvisor.KVM, platformAuto}, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("pull", cobra.FixedCompletions(pullPolicies(), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("min-boundary", cobra.FixedCompletions([]string{"shared-kernel", "user-kernel", "virtual-machine"}, cobra.ShellCompDirectiveNoFileComp))
}

// runErrorCode gives Bulkhead's own failures the code 125, bad input included:
// any lower code may be the command's.
func runErrorCode(err error) error {
	if errors.Is(err, console.ErrSilent) {
		return err
	}
	code := fault.Code(err, fault.Internal)
	if code == fault.Usage {
		code = fault.Internal
	}
	return fault.WithCode(err, code)
}

func runCommand(ctx context.Context, s console.Streams, f runFlags, args []string) error {
	switch {
	case f.detach && (f.interactive || f.tty):
		return runUsage("--detach leaves nobody to type: it excludes -i and -t", "start it, then: bulkhead exec -it NAME bash")
	case f.timeout < 0:
		return runUsage(fmt.Sprintf("--timeout %s is no time to run", f.timeout), "give one such as 30s or 5m; 0 is no limit")
	case f.detach && f.limits.output != "":
		return runUsage("--output-limit is for a command whose output is passed on: the log of a detached sandbox is bounded anyway", "leave it out")
	case f.file == "" && (f.pod != "" || f.probe):
		return runUsage("--pod and --probe need -f: they are about a manifest", "add -f pod.yaml")
	case f.name != "" && !f.detach:
		return runUsage("--name needs --detach: a sandbox without it is gone with its command", "add --detach, or leave out --name")
	}
	way, err := f.egress(s)
	if err != nil {
		return err
	}
	if f.file != "" {
		return f.runPod(ctx, s, way, args)
	}
	req, root, err := f.request(ctx, s, args)
	if err != nil {
		return err
	}
	defer root.close()
	req.Egress = way
	if err := f.limits.bound(&req); err != nil {
		return err
	}
	if f.detach {
		return f.runDetached(ctx, s, req)
	}
	return runRequest(ctx, s, f, req)
}

// request turns flags into what to run. The root file system is closed by the
// caller, when the sandbox is gone or somebody else keeps it.
func (f runFlags) request(ctx context.Context, s console.Streams, args []string) (req runner.Request, root *rootfs, err error) {
	defer func() {
		if err != nil && root != nil {
			root.close()
		}
	}()
	minimum := boundary.UserKernel
	if f.minBoundary != "" {
		if minimum, err = boundary.Parse(f.minBoundary); err != nil {
			return req, nil, runUsage(err.Error(), "see `bulkhead run --help`")
		}
	}
	if len(args) == 0 && !f.detach && (f.image == "" || f.image == imageHost) {
		return req, nil, errNoCommand()
	}
	engine, err := f.chooseEngine(ctx, s, minimum)
	if err != nil {
		return req, nil, err
	}
	if root, err = openRoot(ctx, s, source{f.image, f.user, f.pull}); err != nil {
		return req, nil, err
	}
	if args = root.command(args); len(args) == 0 && !f.detach {
		return req, root, errNoCommand()
	}
	if root.spec.Limits, err = f.limits.of(s, engine, nil); err != nil {
		return req, root, err
	}
	if err := f.place(s, &root.spec); err != nil {
		return req, root, err
	}
	env, err := parseEnv(f.env)
	if err != nil {
		return req, root, err
	}
	if f.workdir != "" {
		root.dir = f.workdir
	}
	return runner.Request{
		Place:     runner.Place{Engine: engine, Spec: root.spec, Minimum: minimum},
		Execution: runner.Execution{Command: agent.Command{Args: args, Env: env, Dir: root.dir}, Timeout: f.timeout},
	}, root, nil
}

func errNoCommand() error {
	return runUsage("no command given, and the root file system has none of its own", "put it after --: bulkhead run -- python3 -c 'print(1)'")
}

// runUsage is a usage error of run: 125, because 2 may be the command's own.
func runUsage(message, hint string) error {
	return fault.WithHint(fault.WithCode(fmt.Errorf("run: %s", message), fault.Internal), hint)
}

// chooseEngine returns the engine that was asked for, or the first one that
// gives the boundary and works here. It never returns a weaker one.
func (f runFlags) chooseEngine(ctx context.Context, s console.Streams, minimum boundary.Boundary) (sandbox.Engine, error) {
	state, err := StateDir()
	if err != nil {
		return nil, err
	}
	if f.platform != "" {
		return f.onPlatform(ctx, s, state)
	}
	var reasons []string
	hint := "Bulkhead does not fall back to a weaker boundary: nothing was run"
	for _, e := range engines(state, gvisor.Systrap) {
		if f.engine == e.Name() {
			return e, nil
		}
		if f.engine != "" {
			continue
		}
		if !e.Boundary().Satisfies(minimum) {
			reasons = append(reasons, fmt.Sprintf("%s gives only %s", e.Name(), e.Boundary()))
			continue
		}
		err := e.Probe(ctx)
		if err == nil {
			return e, nil
		}
		reasons = append(reasons, err.Error())
		if h := fault.Hint(err); h != "" {
			hint = h
		}
	}
	if f.engine != "" {
		return nil, runUsage(fmt.Sprintf("unknown engine %q", f.engine), "it is one of gvisor, runc")
	}
	return nil, fault.WithHint(
		fmt.Errorf("no engine here gives %s (%s): %w", minimum, strings.Join(reasons, "; "), sandbox.ErrBoundary), hint)
}

// parseEnv keeps K=V and resolves K to the caller's value: only what is named
// reaches the sandbox.
func parseEnv(env []string) ([]string, error) {
	var out []string
	for _, kv := range env {
		key, _, hasValue := strings.Cut(kv, "=")
		if key == "" {
			return nil, console.UsageError(fmt.Errorf("-e %q has no name", kv), "write -e NAME=VALUE")
		}
		if !hasValue {
			value, ok := os.LookupEnv(key)
			if !ok {
				continue // as docker: a name that is not set is not passed on
			}
			kv = key + "=" + value
		}
		out = append(out, kv)
	}
	return out, nil
}

// runRequest connects the command to this process's streams, terminal and
// signals, and ends with its exit code.
func runRequest(ctx context.Context, s console.Streams, f runFlags, req runner.Request) error {
	detach, err := attach(s, f.interactive, f.tty, &req.Execution)
	if err != nil {
		return err
	}
	defer detach()
	result, err := runner.Run(ctx, req)
	if err != nil {
		return err
	}
	if result.ExitCode == fault.Timeout && f.timeout > 0 {
		fmt.Fprintf(s.Err, "bulkhead: the command was ended after %s\n", f.timeout)
	}
	if result.OOMKilled {
		fmt.Fprintln(s.Err, "bulkhead: the command was killed: the sandbox reached its limit of memory")
	}
	return console.Exit(result.ExitCode)
}

// attach connects a command to this process's streams, terminal and signals.
// detach undoes it.
func attach(s console.Streams, interactive, tty bool, e *runner.Execution) (detach func(), err error) {
	e.Command.Stdout, e.Command.Stderr = s.Out, s.Err
	if interactive {
		e.Command.Stdin = s.In
	}
	restore := func() {}
	if tty {
		if restore, err = attachTerminal(s, interactive, e); err != nil {
			return nil, err
		}
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	e.Signals = signals
	// A reader that went away (| head) is seen as a failed write, not as a
	// signal that would leave the sandbox behind.
	signal.Ignore(syscall.SIGPIPE)
	return func() { signal.Stop(signals); restore() }, nil
}
