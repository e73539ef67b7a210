//go:build linux

package sandboxcli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/egress"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
	"github.com/bulkhead-dev/bulkhead/internal/podrun"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// probeTimeout is how long --probe waits unless --timeout says so.
const probeTimeout = 2 * time.Minute

// podRun is a pod that is about to run.
type podRun struct {
	req runner.Request // with the command of its only main container, where it has one
	pod *pod.Pod
	// roots are the root file systems, and specs what the containers are made from
	// that are apart, by name.
	roots []*rootfs
	specs map[string]sandbox.Spec
	// subject is what messages are about.
	subject string
}

// close lets go of the root file systems.
func (r podRun) close() {
	for _, root := range r.roots {
		root.close()
	}
}

// say tells what happens; parts of message may be the guest's words.
func (r podRun) say(s console.Streams, message string) {
	fmt.Fprintf(s.Err, "bulkhead: %s: %s\n", r.subject, printable.Lines(message))
}

// runPod runs the pod of a manifest.
func (f runFlags) runPod(ctx context.Context, s console.Streams, way *egress.Proxy, args []string) error {
	r, err := f.podRequest(ctx, s, args)
	if err != nil {
		return err
	}
	defer r.close()
	r.req.Egress = way
	if err := f.limits.bound(&r.req, r.folders()...); err != nil {
		return err
	}
	if f.detach {
		return f.runPodDetached(ctx, s, r)
	}
	return f.runPodHere(ctx, s, r)
}

// podRequest turns a manifest into what to run: its class and the routes give
// the boundary. What it opened is closed by the caller.
func (f runFlags) podRequest(ctx context.Context, s console.Streams, args []string) (r podRun, err error) {
	if err := f.podUsage(); err != nil {
		return r, err
	}
	plan, err := f.parts.Plan(s.In, Manifest{File: f.file, Workload: f.pod, Config: f.config})
	if err != nil {
		return r, err
	}
	p, together, err := f.podOf(plan)
	if err != nil {
		return r, err
	}
	if err := f.overPod(p, args); err != nil {
		return r, err
	}
	engine, err := f.chooseEngine(ctx, s, plan.Accepted)
	if err != nil {
		return r, refused(plan, err)
	}
	if err := keepsApart(engine, together); err != nil {
		return r, err
	}
	r = podRun{pod: p, subject: plan.Subject}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	limits, notes := p.Limits()
	r.req.Place = runner.Place{Engine: engine, Minimum: plan.Accepted}
	if err := f.placePod(ctx, s, &r); err != nil {
		return r, err
	}
	if r.req.Spec.Limits, err = f.limits.of(s, engine, limits); err != nil {
		return r, err
	}
	for name, spec := range r.specs {
		// Memory and CPUs are the sandbox's.
		spec.Limits.PIDs = r.req.Spec.Limits.PIDs
		r.specs[name] = spec
	}
	if only, err := onlyMain(p); err == nil {
		r.req.Command = agent.Command{Args: slices.Concat(only.Command, only.Args), Env: only.Env, Dir: only.Dir}
	}
	// Said each time, wherever the output goes: what runs is weaker than the
	// route, and somebody answers for it.
	if !engine.Boundary().Satisfies(plan.Required) {
		r.say(s, fmt.Sprintf("%s instead of %s: %s", engine.Boundary(), plan.Required, plan.Waiver))
	}
	for _, note := range slices.Concat(p.Notes, notes) {
		r.say(s, note)
	}
	return r, nil
}

// PodRequest is what `bulkhead run` with these flags would run, with the command
// in the place of the pod's. The flags take the host's toolchain as the root file
// system, which nobody has to close.
func PodRequest(ctx context.Context, s console.Streams, plan Planner, flags, command []string) (runner.Request, error) {
	f := runFlags{parts: Parts{Plan: plan}}
	cmd := &cobra.Command{}
	f.register(cmd)
	if err := cmd.ParseFlags(flags); err != nil {
		return runner.Request{}, err
	}
	r, err := f.podRequest(ctx, s, command)
	if err == nil && r.pod.Apart {
		err = runUsage("the containers of the pod have to be apart: no command takes their place", "run it with bulkhead run -f")
	}
	return r.req, err
}

// podUsage refuses flags that contradict a manifest.
func (f runFlags) podUsage() error {
	switch {
	case f.minBoundary != "":
		return runUsage("-f and --min-boundary exclude each other", "the manifest's route decides; accept less by a waiver in bulkhead.yaml")
	case f.user != "":
		return runUsage("-f and --user exclude each other", "the manifest says who runs: securityContext.runAsUser")
	case f.probe && (f.detach || f.interactive || f.tty):
		return runUsage("--probe ends the pod as soon as it is ready: it excludes --detach, -i and -t", "leave them out")
	}
	return nil
}

// overPod puts what the command line says over the manifest.
func (f runFlags) overPod(p *pod.Pod, args []string) error {
	only, err := onlyMain(p)
	if (len(args) > 0 || f.tty || f.interactive) && err != nil {
		return err
	}
	if len(args) > 0 {
		// A command of the user's runs once, and nothing is known of its health.
		only.Command, only.Args, p.Restart = args, nil, ""
		only.Startup, only.Readiness, only.Liveness = nil, nil, nil
	}
	extra, err := parseEnv(f.env)
	if err != nil {
		return err
	}
	for i := range p.Containers {
		c := &p.Containers[i]
		c.Env = append(c.Env, extra...)
		if c.Role == pod.Main {
			c.Dir = cmp.Or(f.workdir, c.Dir)
			if f.probe && c.Readiness == nil && c.Startup == nil {
				return runUsage(fmt.Sprintf("--probe: container %q has neither a readiness nor a startup probe", c.Name), "add one, or run it without --probe")
			}
		}
	}
	limit := f.timeout
	if f.probe {
		limit = cmp.Or(limit, probeTimeout)
	}
	if p.Deadline == 0 || limit > 0 && limit < p.Deadline {
		p.Deadline = limit
	}
	return nil
}

// onlyMain returns the container that a command line can mean.
func onlyMain(p *pod.Pod) (*pod.Container, error) {
	var only *pod.Container
	for i := range p.Containers {
		if p.Containers[i].Role != pod.Main {
			continue
		}
		if only != nil {
			return nil, runUsage("the pod has several containers: a command, -i and -t have to mean one", "leave them out, or keep the pod (--detach) and use bulkhead exec")
		}
		only = &p.Containers[i]
	}
	return only, nil
}

// refused says what the workload is and what it would need.
func refused(plan Plan, err error) error {
	names := make([]string, len(plan.Runtimes))
	for i, r := range plan.Runtimes {
		names[i] = string(r)
	}
	hint := fault.Hint(err)
	if plan.Accepted == plan.Required {
		hint = fmt.Sprintf("`bulkhead explain %s` says why; run it where a runtime of its route is (%s), or accept less for a time by a waiver with an owner in bulkhead.yaml",
			plan.File, strings.Join(names, ", "))
	}
	return fault.WithHint(fmt.Errorf("%s is %s and needs %s (%s): %w", plan.Subject, plan.Class, plan.Required, plan.Reason, err), hint)
}

// runPodHere runs a pod with this process's streams and signals.
func (f runFlags) runPodHere(ctx context.Context, s console.Streams, r podRun) error {
	e := &r.req.Execution
	detach, err := attach(s, f.interactive, f.tty, e)
	if err != nil {
		return err
	}
	defer detach()
	out := newOutputs(s, r.pod, e.OutputBytes)
	defer out.flush()
	result, err := runner.Use(ctx, r.req.Place, e.Signals, func(ctx context.Context, box *runner.Box) (int, error) {
		return podrun.Run(ctx, box.Client, podrun.Request{
			Pod: r.pod, Output: out.of, Notice: func(m string) { r.say(s, m) }, UntilReady: f.probe, Join: r.join(box),
			Stdin: e.Command.Stdin, Terminal: e.Command.Terminal, Signals: e.Signals, Resizes: e.Resizes,
		})
	})
	if err != nil {
		return err
	}
	if result.OOMKilled {
		r.say(s, "ended: the sandbox reached its limit of memory")
	}
	return console.Exit(result.ExitCode)
}
