package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// checkFlags are the flags of check.
type checkFlags struct {
	output             string
	failOn             string
	failOnNotEvaluated bool
	config             string
	inputs             inputFlags
}

func newCheck(s console.Streams) *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check [PATH|-]...",
		Short: "Classify LLM workloads and judge the boundary that each one has",
		Long: `check reads Kubernetes manifests (files, folders, "-" for standard input; the
current folder where none is named) and says of each workload what it can do,
what shows that, which boundary that calls for, and whether it has it. Objects
around the pods (NetworkPolicies, RBAC, ServiceAccounts, RuntimeClasses) count
where they are in the same input.

A Helm chart (a folder with Chart.yaml, or a .tgz) and a kustomization (a folder
with kustomization.yaml) are taken for what they render to. bulkhead-kube renders
them, in a process of its own with limits of time, memory and output; nothing is
fetched, and no program is started that a manifest names.

With --cluster it reads a live cluster: workloads that no other one made, and the
objects around them, never Secrets. It only lists. Its kubeconfig is the one that
kubectl would use.

Exit code:
  0  nothing at or above --fail-on
  1  findings at or above --fail-on, or (--fail-on-not-evaluated) a workload of
     a kind that is not known
  2  bad input or usage, said on standard error; what could be read is still
     reported. Wins over 1.`,
		Example: `  bulkhead check examples/llm-stack
  bulkhead check my-chart --values prod.yaml --set replicas=2
  bulkhead check deploy/overlays/prod
  bulkhead check --cluster -n agents
  kubectl get deployments -A -o yaml | bulkhead check -
  bulkhead check -o json deploy/ > report.json
  bulkhead check --config exceptions.yaml deploy/ policies/
  bulkhead check --fail-on warning --fail-on-not-evaluated deploy/`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), s, args) },
	}
	cmd.Flags().StringVarP(&f.output, "output", "o", "table", "output format: table, json, sarif (2.1.0), markdown (for a pull request) or html")
	cmd.Flags().StringVar(&f.failOn, "fail-on", "error", "least severity that makes the exit code 1: error, warning or info")
	cmd.Flags().BoolVar(&f.failOnNotEvaluated, "fail-on-not-evaluated", false, "exit code 1 where a workload was not evaluated")
	cmd.Flags().StringVar(&f.config, "config", "", "configuration file (default: bulkhead.yaml here or in a parent folder)")
	f.inputs.add(cmd)
	f.inputs.cluster.add(cmd)
	console.Complete(cmd, "output", reportFormats()...)
	console.Complete(cmd, "fail-on", "error", "warning", "info")
	return cmd
}

func (f checkFlags) run(ctx context.Context, s console.Streams, args []string) error {
	if err := console.OneOf("output", f.output, reportFormats()...); err != nil {
		return err
	}
	if err := console.OneOf("fail-on", f.failOn, "error", "warning", "info"); err != nil {
		return err
	}
	paths, err := f.inputs.paths(args)
	if err != nil {
		return err
	}
	in, err := readInput(ctx, s, f.config, f.inputs, paths, true)
	if err != nil {
		return err
	}
	in.warn(s.Err)
	rep := in.report()
	if err := writeReport(s, f.output, rep, in.rules); err != nil {
		return err
	}
	if in.bad {
		return console.Exit(fault.Usage)
	}
	if rep.Worst(rules.Severity(f.failOn)) || f.failOnNotEvaluated && len(rep.NotEvaluated) > 0 {
		return console.Exit(fault.Findings)
	}
	return nil
}

// input is what was read from the paths of a command line, and decided about it.
type input struct {
	outcome decide.Outcome
	rules   []rules.Rule    // those that were in force
	notices []report.Notice // what was said on standard error
	// aboutConfig is what check says of the configuration.
	aboutConfig []report.Notice
	// bad: something could not be read.
	bad bool
	// decider and objects are what the outcome was made from; nil where only rows
	// are asked for.
	decider *decide.Decider
	objects []*manifest.Object
}

// report is the outcome with everything that is said on standard error.
func (in input) report() report.Report {
	rep := in.outcome.Report()
	rep.Notices = append(append(rep.Notices, in.notices...), in.aboutConfig...)
	return rep
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// small reports that the paths are a few small files.
func small(paths []string) bool {
	const most = 1 << 20
	var size int64
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil || !info.Mode().IsRegular() {
			return false
		}
		size += info.Size()
	}
	return size < most
}

// softMemory is from how many bytes on garbage is collected more often.
const softMemory = 512 << 20

// readInput reads the manifests and decides. What cannot be read is said on
// standard error, and the rest is decided all the same. rowsOnly: the outcome is
// reported and nothing more is asked of it.
func readInput(ctx context.Context, s console.Streams, configPath string, inputs inputFlags, paths []string, rowsOnly bool) (input, error) {
	if small(paths) {
		// Loading the rules alone would be collected two or three times: a quarter
		// of the time that a small check takes.
		debug.SetGCPercent(400)
	} else {
		// A tenth of the time of a large check, for a third more memory; of the
		// largest, less memory and more time.
		debug.SetGCPercent(150)
		if debug.SetMemoryLimit(-1) == math.MaxInt64 { // GOMEMLIMIT is not set
			debug.SetMemoryLimit(softMemory)
		}
	}
	cfg, err := loadConfig(configPath, paths)
	if err != nil {
		return input{}, err
	}
	decider, err := decide.New(cfg, time.Now())
	if err != nil {
		return input{}, err
	}
	set, err := inputs.read(ctx, s, paths, cfg.Kinds)
	if err != nil {
		return input{}, err
	}
	if rowsOnly {
		decider = decider.RowsOnly()
	}
	outcome, err := decider.Decide(set.Objects)
	if err != nil {
		return input{}, fault.WithHint(fault.WithCode(err, fault.Usage), "this is a fault of a rule: please report it with the manifest")
	}
	errs := slices.Concat(set.Errors, notObjects(set.Other), outcome.Errors)
	in := input{outcome: outcome, rules: decider.Rules(), bad: len(errs) > 0}
	if !rowsOnly {
		in.decider, in.objects = decider, set.Objects
	}
	in.aboutConfig = decider.Notices(outcome, slices.ContainsFunc(paths, isFolder))
	for _, e := range errs {
		complain(s.Err, e)
		in.notices = append(in.notices, report.Notice{Level: rules.Error, File: e.File, Line: e.Line, Column: e.Column, Message: e.Reason, Next: e.Hint})
	}
	for _, u := range set.Units {
		n := report.Notice{Level: rules.Info, File: u.Path, Message: "a " + string(u.Form) + ": lines count in what it renders to"}
		fmt.Fprintf(s.Err, "bulkhead: %s: %s\n", printable.Text(n.File), n.Message)
		in.notices = append(in.notices, n)
	}
	return in, nil
}

// notObjects returns one error a file for its documents that are mappings and
// not Kubernetes objects: a file of another kind has many of them.
func notObjects(others []*manifest.Object) []*manifest.Error {
	var errs []*manifest.Error
	more := 0
	for i, o := range others {
		if i > 0 && o.File == others[i-1].File {
			more++
			errs[len(errs)-1].Reason = fmt.Sprintf("%s, nor are %d later documents", notObject, more)
			continue
		}
		pos, _ := o.Position(nil)
		errs = append(errs, &manifest.Error{File: o.File, Line: pos.Line, Column: pos.Column, Reason: notObject, Hint: "name Kubernetes manifests only"})
		more = 0
	}
	return errs
}

const notObject = "not a Kubernetes object: apiVersion or kind is missing"

// complain prints one thing that could not be read, with its next step.
func complain(w io.Writer, e *manifest.Error) {
	fmt.Fprintf(w, "bulkhead: %s\n", printable.Text(e.Error()))
	if e.Hint != "" {
		fmt.Fprintf(w, "  next: %s\n", printable.Text(e.Hint))
	}
}

// loadConfig reads the named configuration, or the one that is found upwards
// from the first path (from the current folder for standard input).
func loadConfig(path string, inputs []string) (config.Config, error) {
	const hint = "see docs/configuration.md for the form of bulkhead.yaml"
	if path == "" {
		dir := "."
		if len(inputs) > 0 && inputs[0] != "-" {
			dir = inputs[0]
			if info, err := os.Stat(dir); err != nil || !info.IsDir() {
				dir = filepath.Dir(dir)
			}
		}
		found, err := config.Find(dir)
		if err != nil {
			return config.Config{}, console.UsageError(err, hint)
		}
		if found == "" {
			return config.Default(), nil
		}
		path = fromHere(found)
	}
	cfg, err := config.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return cfg, console.UsageError(err, "check the path given with --config")
	}
	if err != nil {
		return cfg, console.UsageError(err, hint)
	}
	return cfg, nil
}

// fromHere is an absolute path as it is seen from the current folder.
func fromHere(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(here, path); err == nil {
		return rel
	}
	return path
}

// coloured reports whether output to w may have colours: a terminal, and
// NO_COLOR is not set.
func coloured(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}
