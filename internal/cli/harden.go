package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/harden"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// hardenFlags are the flags of harden.
type hardenFlags struct {
	diff, write, explain bool
	outDir, kustomize    string
	all                  bool
	output, failOn       string
	config               string
	cluster              clusterFlags
	inputs               inputFlags
}

func newHarden(s console.Streams) *cobra.Command {
	var f hardenFlags
	cmd := &cobra.Command{
		Use:   "harden PATH...",
		Short: "Rewrite manifests so that workloads have what check finds missing",
		Long: `harden changes manifests in place of you: the RuntimeClass by the route of the
workload's class, the five controls of the baseline, no API token that nothing
uses. Beside a workload that nothing limits yet it puts, as new files, a
NetworkPolicy with the peers that it names and an account of its own. It changes
LLM workloads; --all takes the others too. Bytes that need no
change stay as they are, and running it twice changes nothing. A document that
cannot be edited safely (a template, an anchor shared with others) stays as it
is, and is named with the reason.

It shows a diff and writes nothing, unless --write (each file is replaced as a
whole or not at all), --out-dir or --kustomize is given. For a Helm chart that is
named alone, --out-dir DIR has a values file for what the chart's values reach, and
a post-render patch for the rest. With --kustomize DIR the sources stay as they
are, and DIR becomes an overlay of them: patches, and the policies as resources,
built and compared before they count. What only a person can decide is said on
standard error, with the next step.

Exit code:
  0  nothing at or above --fail-on stays
  1  findings stay that only a person can decide
  2  bad input or usage, or something could not be rewritten or written; the
     rest is done all the same. Wins over 1.`,
		Example: `  bulkhead harden examples/llm-stack
  bulkhead harden --explain deploy/agent.yaml
  bulkhead harden --write deploy/
  bulkhead harden --out-dir hardened deploy/
  bulkhead harden --kustomize deploy/hardened deploy/base && kubectl apply -k deploy/hardened
  bulkhead harden --out-dir hardened --release agents my-chart --values prod.yaml
  bulkhead harden deploy/ | git apply`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return console.UsageError(errors.New("harden takes the paths to harden"), "name files or folders, or - for standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), s, args) },
	}
	cmd.Flags().BoolVar(&f.diff, "diff", false, "show a unified diff and write nothing (the default)")
	cmd.Flags().BoolVar(&f.write, "write", false, "rewrite the files, each as a whole or not at all")
	cmd.Flags().StringVar(&f.outDir, "out-dir", "", "write what changes into this folder, and leave the files as they are")
	cmd.Flags().StringVar(&f.kustomize, "kustomize", "", "make this folder a kustomize overlay of what is hardened, and leave that as it is")
	cmd.Flags().BoolVar(&f.explain, "explain", false, "tell each change: the rule, before and after, what may break and how that shows")
	cmd.Flags().BoolVar(&f.all, "all", false, "change also workloads that show nothing of an LLM")
	cmd.Flags().StringVarP(&f.output, "output", "o", "text", "output format: text or json")
	cmd.Flags().StringVar(&f.failOn, "fail-on", "error", "least severity that makes the exit code 1: error, warning or info")
	cmd.Flags().StringVar(&f.config, "config", "", "configuration file (default: bulkhead.yaml here or in a parent folder)")
	cmd.MarkFlagsMutuallyExclusive("diff", "write", "out-dir", "kustomize")
	f.inputs.add(cmd)
	f.cluster.addRuntimes(cmd)
	console.Complete(cmd, "output", "text", "json")
	console.Complete(cmd, "fail-on", "error", "warning", "info")
	return cmd
}

func (f hardenFlags) run(ctx context.Context, s console.Streams, paths []string) error {
	if err := console.OneOf("output", f.output, "text", "json"); err != nil {
		return err
	}
	if err := console.OneOf("fail-on", f.failOn, "error", "warning", "info"); err != nil {
		return err
	}
	if err := f.cluster.validate(); err != nil {
		return err
	}
	if err := f.overlayFolder(paths); err != nil {
		return err
	}
	f.inputs.skip = f.kustomize
	h := &hardening{texts: map[string][]byte{}, all: f.all, kept: f.keptUnit}
	if slices.Contains(paths, "-") {
		text, err := readStdin(s.In)
		if err != nil {
			return err
		}
		h.texts[stdinName], s.In = text, bytes.NewReader(text)
	}
	in, err := readInput(ctx, s, f.config, f.inputs, paths, false)
	if err != nil {
		return err
	}
	in.warn(s.Err)
	h.input = in
	h.confining, h.refused = harden.Confining(in.objects)
	if f.cluster.on {
		if err := h.ask(ctx, f.cluster, f.inputs.kube()); err != nil {
			return err
		}
	}
	if chart := h.chart(); chart != nil && f.outDir != "" {
		err = h.values(ctx, f, *chart)
	} else if f.kustomize != "" {
		err = h.overlay(ctx, f, paths)
	} else if err = h.rewrite(); err == nil && (f.write || f.outDir != "") {
		h.save(paths, f.outDir)
	}
	if err != nil {
		return err
	}
	h.absent()
	result, err := h.result()
	if err != nil {
		return err
	}
	for _, line := range h.said {
		fmt.Fprintf(s.Err, "bulkhead: %s\n", printable.Text(line))
	}
	if err := f.print(s, result); err != nil {
		return fault.WithCode(fmt.Errorf("writing: %w", err), fault.Usage)
	}
	if in.bad || len(h.refused) > 0 {
		return console.Exit(fault.Usage)
	}
	if result.Worst(rules.Severity(f.failOn)) {
		return console.Exit(fault.Findings)
	}
	return nil
}

const (
	stdinName = "<stdin>"
	maxStdin  = 256 << 20
)

func readStdin(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxStdin+1))
	if err == nil && len(text) > maxStdin {
		err = fmt.Errorf("more than %d MiB", maxStdin>>20)
	}
	if err != nil {
		return nil, console.UsageError(fmt.Errorf("reading standard input: %w", err), "name files instead")
	}
	return text, nil
}

// hardening is the work of one call.
type hardening struct {
	input input
	all   bool // also workloads that show nothing of an LLM
	// kept says why what a unit renders to is not changed; "" where it is.
	kept    func(manifest.Unit) string
	plans   []harden.Plan
	texts   map[string][]byte // of files with changes, as they were read
	files   []rewritten       // that change
	said    []string          // about what is written, for standard error
	refused []*manifest.Error
	after   decide.Outcome // of what the files will be
	// confining are the IsolationPolicies of the input.
	confining []*v1alpha1.IsolationPolicy
	// left are findings about a chart's values, and renamed says whether an object has
	// another name each time the chart is rendered; nil where no chart is hardened.
	left    []harden.PolicySet
	renamed func(*manifest.Object) bool
	// cluster are the RuntimeClasses and nodes of the cluster, if it was asked.
	cluster []*manifest.Object
	asked   bool
	// accounts, rights and egress are what is put around the workloads, the first of
	// the input, the others of what the files will be.
	accounts, rights, egress []harden.PolicySet
}

// rewritten is a file, before and after.
type rewritten struct {
	path     string
	old, new []byte
	written  string // where; "" for nowhere
	of       string // the file of the workload that it is new for; "" for one that is there
}

// rewrite plans the changes, makes them in memory and judges the result.
func (h *hardening) rewrite() error {
	if err := h.plan(); err != nil {
		return err
	}
	edits := harden.Edits(h.plans)
	objects := map[string][]*manifest.Object{} // of what the files will be
	for _, path := range slices.Sorted(maps.Keys(edits)) {
		old, err := h.text(path)
		if err != nil {
			h.refused = append(h.refused, err)
			continue
		}
		text, refused := manifest.Rewrite(old, edits[path], manifest.DefaultLimits())
		h.refused = append(h.refused, refused...)
		if bytes.Equal(old, text) {
			continue
		}
		h.files = append(h.files, rewritten{path: path, old: old, new: text})
		objects[path] = manifest.Read(path, bytes.NewReader(text), manifest.DefaultLimits()).Objects
	}
	h.keep()
	seen := map[string]int{}
	now := slices.Clone(h.input.objects)
	for i, o := range now {
		if list := objects[o.File]; len(list) > 0 && o.Unit == nil {
			now[i] = list[seen[o.File]%len(list)]
			seen[o.File]++
		}
	}
	if err := h.judge(now); err != nil {
		return err
	}
	for _, set := range h.sets() {
		for _, f := range set.Files {
			h.add(f, set.Workload.File)
		}
	}
	return nil
}

// plan says what is to change in what was read.
func (h *hardening) plan() error {
	if err := h.surround(); err != nil {
		return err
	}
	plans, err := harden.Plans(h.input.outcome, h.all)
	if err != nil {
		return err
	}
	h.plans = harden.WithAccounts(plans, h.accounts, h.input.outcome)
	for i := range h.plans {
		if u := h.plans[i].Decision.Workload.Unit; u != nil && h.kept(*u) != "" {
			h.plans[i].Kept = h.kept(*u)
		}
	}
	return nil
}

// text returns a file as it is now; Rewrite sees whether it is what was read.
func (h *hardening) text(path string) ([]byte, *manifest.Error) {
	if text, ok := h.texts[path]; ok {
		return text, nil
	}
	return manifest.ReadFile(path)
}

// keep notes the plans whose documents were refused.
func (h *hardening) keep() {
	for i := range h.plans {
		o := h.plans[i].Decision.Workload.Object
		at, _ := o.Position(nil)
		for _, e := range h.refused {
			if e.File == o.File && (e.Line == 0 || e.Line == at.Line) && h.plans[i].Kept == "" {
				h.plans[i].Kept = e.Reason
			}
		}
	}
}

// result is what is reported.
func (h *hardening) result() (report.Hardening, error) {
	out := report.Hardening{Workloads: []report.Hardened{}, Files: []report.Diff{}, Refused: []report.Notice{}}
	planned := map[*manifest.Object]harden.Plan{}
	for _, p := range h.plans {
		planned[p.Decision.Workload.Object] = p
	}
	for i, d := range h.after.Decisions {
		was := h.input.outcome.Decisions[i]
		p, ok := planned[was.Workload.Object]
		switch {
		case !ok && was.Row.RiskClass == risk.None && !h.all:
			continue
		case !ok:
			p = harden.Plan{Decision: was}
		}
		row, err := p.Row(d, h.around(i)...)
		if err != nil {
			return out, err
		}
		if len(row.Changes)+len(row.Findings) > 0 {
			out.Workloads = append(out.Workloads, row)
		}
	}
	for _, f := range h.files {
		out.Files = append(out.Files, report.Diff{File: f.path, Written: f.written, Diff: report.UnifiedDiff(f.path, f.old, f.new)})
	}
	for _, e := range h.refused {
		out.Refused = append(out.Refused, report.Notice{Level: rules.Error, File: e.File, Line: e.Line, Column: e.Column, Message: e.Reason, Next: e.Hint})
	}
	out.Count()
	return out, nil
}

func (f hardenFlags) print(s console.Streams, h report.Hardening) error {
	if f.output == "json" {
		return report.WriteHardeningJSON(s.Out, h)
	}
	for _, r := range h.Refused {
		complain(s.Err, &manifest.Error{File: r.File, Line: r.Line, Column: r.Column, Reason: r.Message, Hint: r.Next})
	}
	var err error
	switch {
	case f.explain:
		err = report.WriteHardeningExplained(s.Out, h, coloured(s.Out))
	case f.write, f.outDir != "", f.kustomize != "":
		for _, d := range h.Files {
			if d.Written != "" {
				fmt.Fprintln(s.Out, printable.Text(d.Written))
			}
		}
	default:
		err = report.WriteDiff(s.Out, h.Files, coloured(s.Out))
	}
	if err != nil {
		return err
	}
	return report.WriteHardeningLeft(s.Err, h, coloured(s.Err))
}
