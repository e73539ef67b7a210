//go:build linux

package sandboxcli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/engine/gvisor"
	"github.com/bulkhead-dev/bulkhead/internal/bench"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// maxRounds bounds a benchmark: an hour on a slow machine.
const maxRounds = 1000

// benchFlags are the flags of `bulkhead bench`.
type benchFlags struct {
	engines []string
	rounds  int
	output  string
}

func newBench(s console.Streams) *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench [flags]",
		Short: "Measure what boundaries cost on this machine",
		Long: `Boot sandboxes behind each boundary that can be had here, in turn, and print what
they cost: cold start, a command in a warm sandbox, memory. Each sandbox's
kernel is compared with this machine's in the same run; what was not measured
says so, and why. Compare ratios, not milliseconds: those are the machine's.`,
		Example: "  bulkhead bench\n  bulkhead bench -n 50 -o markdown\n  bulkhead bench --engines runc,gvisor -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), s)
		},
	}
	fl := cmd.Flags()
	fl.StringSliceVar(&f.engines, "engines", []string{"runc", "gvisor"}, "engines to measure")
	fl.IntVarP(&f.rounds, "rounds", "n", 20, "rounds: sandboxes of each engine")
	fl.StringVarP(&f.output, "output", "o", "table", "table, markdown or json (with every sample)")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "markdown", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (f benchFlags) run(ctx context.Context, s console.Streams) error {
	switch {
	case f.rounds < 1 || f.rounds > maxRounds:
		return console.UsageError(fmt.Errorf("-n %d is not from 1 to %d", f.rounds, maxRounds), "see `bulkhead bench --help`")
	case !slices.Contains([]string{"table", "markdown", "json"}, f.output):
		return console.UsageError(fmt.Errorf("unknown output %q", f.output), "it is table, markdown or json")
	}
	state, err := StateDir()
	if err != nil {
		return err
	}
	known := engines(state, gvisor.Systrap)
	for _, name := range f.engines {
		if !slices.ContainsFunc(known, func(e sandbox.Engine) bool { return e.Name() == name }) {
			return console.UsageError(fmt.Errorf("unknown engine %q", name), "it is one of gvisor, runc")
		}
	}
	// A signal ends the round that runs, and its sandbox with it.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	report, err := f.measure(ctx, s, known)
	if err != nil {
		return err
	}
	switch f.output {
	case "json":
		enc := json.NewEncoder(s.Out)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	case "markdown":
		return report.Markdown(s.Out)
	default:
		return report.Table(s.Out)
	}
}

// measure runs the rounds of all engines that work here, in turn.
func (f benchFlags) measure(ctx context.Context, s console.Streams, known []sandbox.Engine) (bench.Report, error) {
	report := bench.Report{APIVersion: "bulkhead.dev/bench/v1", Rounds: f.rounds, Machine: machine()}
	root, err := openRoot(ctx, s, source{ref: imageHost})
	if err != nil {
		return report, err
	}
	defer root.close()
	subjects, reasons := f.subjects(ctx, known, root.spec)
	var cases []bench.Case
	for _, subject := range subjects {
		cases = append(cases, subject.Cold())
	}
	if len(cases) == 0 {
		return report, console.UsageError(fmt.Errorf("nothing can be measured here: %v", reasons), "install runc, or put bulkhead-runsc beside bulkhead")
	}
	line := console.NewProgress(s.Err)
	line.Say("%d rounds of %s", f.rounds, strings.Join(f.engines, ", "))
	samples, err := bench.Interleave(ctx, f.rounds, cases)
	line.Done()
	if err != nil {
		return report, fmt.Errorf("measuring: %w", err)
	}
	measured := map[string]*bench.Measured{}
	control := slices.ContainsFunc(subjects, (*bench.Subject).Control)
	for n, subject := range subjects {
		m := subject.Result(samples[n], control)
		m.Kernel, _, _ = strings.Cut(printable.Lines(m.Kernel), " ") // the guest's own word
		measured[subject.Engine.Name()] = &m
	}
	report.Rows = []bench.Row{
		{Runtime: "runc", Boundary: boundary.SharedKernel.String(), Measured: measured["runc"], Reason: reasons["runc"]},
		{Runtime: "gVisor", Boundary: boundary.UserKernel.String(), Measured: measured["gvisor"], Reason: reasons["gvisor"]},
		{Runtime: "Kata", Boundary: boundary.VirtualMachine.String(), Reason: missing("containerd-shim-kata-v2")},
		{Runtime: "Firecracker", Boundary: boundary.VirtualMachine.String(), Reason: missing("firecracker")},
	}
	return report, nil
}

// subjects are the engines that are asked for and work here; of the others it
// is said why they are not measured.
func (f benchFlags) subjects(ctx context.Context, known []sandbox.Engine, spec sandbox.Spec) ([]*bench.Subject, map[string]string) {
	var subjects []*bench.Subject
	reasons := map[string]string{}
	for _, e := range known {
		if !slices.Contains(f.engines, e.Name()) {
			reasons[e.Name()] = "left out by --engines"
		} else if err := e.Probe(ctx); err != nil {
			reasons[e.Name()] = err.Error()
		} else {
			subjects = append(subjects, &bench.Subject{Engine: e, Spec: spec})
		}
	}
	return subjects, reasons
}

// missing says why a runtime of virtual machines was not measured: no engine of
// this version drives it, and what this machine lacks besides.
func missing(program string) string {
	reasons := []string{"no engine of this version drives it"}
	if _, err := exec.LookPath(program); err != nil {
		reasons = append(reasons, "no "+program+" on PATH")
	}
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	switch {
	case err == nil:
		_ = kvm.Close()
	case errors.Is(err, os.ErrNotExist):
		reasons = append(reasons, "no /dev/kvm")
	default:
		reasons = append(reasons, err.Error())
	}
	return strings.Join(reasons, "; ")
}

func machine() bench.Machine {
	m := bench.Machine{Arch: runtime.GOARCH, CPUs: runtime.NumCPU()}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return m
}
