//go:build linux

package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/engine/runc"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/demo"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
	"github.com/bulkhead-dev/bulkhead/internal/sandboxcli"
	"github.com/bulkhead-dev/bulkhead/internal/version"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// The demo's paths: on the stage as in a checkout, and in the sandbox.
const (
	demoStack       = "examples/llm-stack"
	demoInterpreter = demoStack + "/code-interpreter.yaml"
	demoWaiver      = demoStack + "/waiver.yaml"
	demoProgram     = "/work/hostile"
)

// play is one performance. It goes on in the process with a network of its own,
// whose working directory is the stage.
type play struct {
	flags   demoFlags
	s       console.Streams
	out     io.Writer // what is told on the way; nothing where the output is JSON
	program string    // the hostile program's path on the host
	host    demo.Host
	servers *demo.Servers
	report  demo.Report
}

func (f demoFlags) play(ctx context.Context, s console.Streams) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	program := console.Companion("bulkhead-hostile")
	if program == "" {
		return fault.WithHint(fmt.Errorf("bulkhead-hostile not found: %w", sandbox.ErrUnavailable),
			"put it beside the bulkhead binary or on PATH (`make build` puts it into bin/)")
	}
	if err := demo.PrepareNetwork(); err != nil {
		return fault.WithHint(err, "run `bulkhead demo` without --inside")
	}
	servers, err := demo.Serve(ctx, demo.MetadataAddr, demo.ResolverAddr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, servers.Close()) }()
	p := &play{flags: f, s: s, out: s.Out, program: program, host: demo.ReadHost(), servers: servers}
	if f.output == "json" {
		p.out = io.Discard
	}
	p.report = demo.Report{APIVersion: demo.APIVersion, Version: version.String(), Time: time.Now().UTC().Truncate(time.Second), HostKernel: p.host.Kernel}
	for _, act := range []func(context.Context) error{p.check, p.refusal, p.sandboxed, p.control, p.curtain} {
		if err := act(ctx); err != nil {
			if ctx.Err() != nil {
				return fault.WithCode(errors.New("the demo was interrupted"), 130)
			}
			return err
		}
	}
	return p.verdict()
}

// act announces a part of the play and the command that it stands for.
func (p *play) act(title, command string) {
	line := "── " + title + " ──"
	if coloured(p.out) {
		line = "\x1b[1m" + line + "\x1b[0m"
	}
	fmt.Fprintf(p.out, "\n%s\n$ %s\n\n", line, command)
}

// check reads the example and explains the code interpreter.
func (p *play) check(ctx context.Context) error {
	p.act("What are these workloads, and does each have the boundary that it needs?", "bulkhead check "+demoStack)
	in, err := readInput(ctx, p.s, "", inputFlags{renderTimeout: renderTimeout}, []string{demoStack}, true)
	if err != nil {
		return err
	}
	if in.bad {
		return errors.New("the example could not be read")
	}
	p.report.Check = in.outcome.Report()
	if err := report.WriteTable(p.out, p.report.Check, coloured(p.out)); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	for _, w := range p.report.Check.Workloads {
		if w.File == demoInterpreter {
			p.report.Workload = w.Kind + "/" + w.Name
			p.act("Why the code interpreter?", "bulkhead explain "+demoInterpreter)
			return report.WriteExplain(p.out, w, coloured(p.out))
		}
	}
	return fmt.Errorf("the example has no workload in %s", demoInterpreter)
}

// refusal asks for the code interpreter by the default route, the way
// `bulkhead run` does. Nothing here gives the boundary, so that nothing may run.
func (p *play) refusal(ctx context.Context) error {
	args := []string{"-f", demoInterpreter, "--image", "host"}
	p.act("The default route", "bulkhead run "+strings.Join(args, " "))
	_, err := sandboxcli.PodRequest(ctx, console.Streams{In: strings.NewReader(""), Out: io.Discard, Err: io.Discard}, planPod, args, []string{demoProgram})
	if err == nil {
		return errors.New("the default route was to be refused here, and was not")
	}
	if !errors.Is(err, sandbox.ErrBoundary) {
		return err
	}
	p.report.Refusal = demo.Refusal{Message: printable.Lines(err.Error()), Next: printable.Lines(fault.Hint(err))}
	fmt.Fprintf(p.out, "bulkhead: %s\n  next: %s\n", p.report.Refusal.Message, p.report.Refusal.Next)
	return nil
}

// demoWaived are the flags of `bulkhead run` with the waiver. Without root the
// manifest's limits cannot all be held.
func demoWaived(program string) []string {
	return []string{"-f", demoInterpreter, "--config", demoWaiver, "--image", "host", "--limits", "best-effort", "-v", program + ":" + demoProgram}
}

// request is what `bulkhead run` with the waiver makes of the manifest. notes
// are what it says on standard error.
func (p *play) request(ctx context.Context) (req runner.Request, notes string, err error) {
	var said bytes.Buffer
	s := console.Streams{In: strings.NewReader(""), Out: io.Discard, Err: &said}
	req, err = sandboxcli.PodRequest(ctx, s, planPod, demoWaived(p.program), []string{demoProgram})
	return req, said.String(), err
}

// sandboxed runs the hostile program by the waiver.
func (p *play) sandboxed(ctx context.Context) error {
	p.act("By the waiver, with a hostile program in the place of model-written code",
		"bulkhead run "+strings.Join(demoWaived("bulkhead-hostile"), " ")+" -- "+demoProgram)
	req, notes, err := p.request(ctx)
	if err != nil {
		return err
	}
	fmt.Fprint(p.out, notes)
	for note := range strings.Lines(notes) {
		if strings.Contains(note, "below the default route") {
			p.report.Waiver = strings.TrimPrefix(strings.TrimSpace(note), "bulkhead: ")
		}
	}
	if p.report.Sandbox, err = p.observe(ctx, req, "sandbox"); err != nil {
		return err
	}
	fmt.Fprintln(p.out, demo.Summary(p.report.Sandbox))
	return nil
}

// control runs the same program in the same sandbox on the host's own kernel,
// where the network is the demo's, as a pod's would be the node's. What stands
// in its way is no error: it is said, and nothing is concluded.
func (p *play) control(ctx context.Context) error {
	p.act("The control: the same sandbox and program on the host's own kernel", "# engine runc, in a network with a fake metadata server")
	state, err := sandboxcli.StateDir()
	if err != nil {
		return err
	}
	engine := runc.New(runc.Config{Runc: console.Companion("runc"), StateDir: state, NetworkNamespace: fmt.Sprintf("/proc/%d/ns/net", os.Getpid())})
	run, err := p.onHostKernel(ctx, engine)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		run = demo.Skipped(engine.Name(), engine.Boundary(), printable.Lines(err.Error()))
	}
	p.report.Control = run
	p.report.Differing = demo.Differing(p.report.Sandbox, run)
	fmt.Fprintln(p.out, demo.Summary(run))
	return nil
}

func (p *play) onHostKernel(ctx context.Context, engine *runc.Engine) (demo.Run, error) {
	if os.Geteuid() != 0 {
		return demo.Run{}, errors.New("joining the demo's network namespace needs root")
	}
	req, _, err := p.request(ctx)
	if err != nil {
		return demo.Run{}, err
	}
	req.Engine, req.Minimum = engine, boundary.SharedKernel
	req.Spec.ID = "demo-" + strings.ToLower(rand.Text()[:10])
	return p.observe(ctx, req, "control")
}

// observe runs the program with witnesses of its own on the host.
func (p *play) observe(ctx context.Context, req runner.Request, name string) (run demo.Run, err error) {
	dir := filepath.Join(p.flags.inside, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return demo.Run{}, fmt.Errorf("placing the witnesses on the host: %w", err)
	}
	witness, err := demo.NewWitness(dir, p.servers)
	if err != nil {
		return demo.Run{}, err
	}
	defer func() { err = errors.Join(err, witness.Close()) }()
	return demo.Observe(ctx, req, witness, p.host)
}

// curtain writes the reports.
func (p *play) curtain(context.Context) error {
	fmt.Fprintf(p.out, "\n")
	if err := demo.WriteTable(p.out, p.report, coloured(p.out)); err != nil {
		return fmt.Errorf("writing the report: %w", err)
	}
	if p.flags.output == "json" {
		if err := report.WriteJSON(p.s.Out, p.report); err != nil {
			return err
		}
	}
	if p.flags.report == "" {
		return nil
	}
	var page bytes.Buffer
	if err := demo.WriteHTML(&page, p.report); err != nil {
		return err
	}
	if err := os.WriteFile(p.flags.report, page.Bytes(), 0o644); err != nil {
		return fault.WithHint(fmt.Errorf("writing the report: %w", err), "name a file in a folder of your own with --report")
	}
	fmt.Fprintf(p.out, "Report: %s\n", p.flags.report)
	return nil
}

// verdict is the exit code: what could not be judged is no success.
func (p *play) verdict() error {
	if reached := p.report.Sandbox.With(demo.Reached); len(reached) > 0 {
		fmt.Fprintf(p.s.Err, "bulkhead: the host was reached from behind %s: %s\n", p.report.Sandbox.Engine, strings.Join(reached, ", "))
		return console.Exit(fault.Findings)
	}
	if missing := p.report.Sandbox.With(demo.NotRun); len(missing) > 0 {
		return fault.WithHint(fmt.Errorf("nothing is known about %s behind %s", strings.Join(missing, ", "), p.report.Sandbox.Engine),
			"build bulkhead-hostile and bulkhead from one checkout (`make build`)")
	}
	return nil
}
