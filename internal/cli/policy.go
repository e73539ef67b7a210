package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/internal/report"
)

func newPolicy(s console.Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "What routes mean for workloads, before and when they are enforced",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyImpact(s), newPolicyRender(s), newPolicyTest(s))
	return cmd
}

// impactFlags are the flags of policy impact.
type impactFlags struct {
	output, config string
	inputs         inputFlags
}

func newPolicyImpact(s console.Streams) *cobra.Command {
	var f impactFlags
	cmd := &cobra.Command{
		Use:   "impact [PATH|-]...",
		Short: "Say what enforced routes would deny, raise and cost, and change nothing",
		Long: `impact reads what check reads (files, folders, charts, kustomizations, "-" for
standard input; the current folder where nothing is named; a live cluster with
--cluster) and says of each workload what its route would make of it, if routes
were enforced:

  unchanged  it has the boundary that its route asks for
  raised     it names no RuntimeClass, and would get the named one of the input;
             MEMORY is that class's overhead for all of its pods
  denied     it names a RuntimeClass that is too weak, or none of the input can
             carry it; a choice is never overridden silently
  undecided  a controller writes its pods, and they are not in the input

Waivers of bulkhead.yaml do not count, because a cluster does not honour them.

Exit code:
  0  nothing would be denied
  1  something would be denied
  2  bad input or usage, said on standard error; what could be read is still
     reported. Wins over 1.`,
		Example: `  bulkhead policy impact deploy/ runtimeclasses.yaml
  helm template my-chart | bulkhead policy impact -
  bulkhead policy impact --cluster
  bulkhead policy impact -o json deploy/ > impact.json`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), s, args) },
	}
	cmd.Flags().StringVarP(&f.output, "output", "o", "table", "output format: table or json")
	cmd.Flags().StringVar(&f.config, "config", "", "configuration file (default: bulkhead.yaml here or in a parent folder)")
	f.inputs.add(cmd)
	f.inputs.cluster.add(cmd)
	console.Complete(cmd, "output", "table", "json")
	return cmd
}

func (f impactFlags) run(ctx context.Context, s console.Streams, args []string) error {
	if err := console.OneOf("output", f.output, "table", "json"); err != nil {
		return err
	}
	paths, err := f.inputs.paths(args)
	if err != nil {
		return err
	}
	in, err := readInput(ctx, s, f.config, f.inputs, paths, false)
	if err != nil {
		return err
	}
	im := decide.NewImpact(in.outcome, in.outcome.Routes)
	if f.output == "json" {
		err = report.WriteJSON(s.Out, im)
	} else {
		err = writeImpact(s.Out, im)
	}
	switch {
	case err != nil:
		return fault.WithCode(fmt.Errorf("writing the impact: %w", err), fault.Usage)
	case in.bad:
		return console.Exit(fault.Usage)
	case im.Summary.Denied > 0:
		return console.Exit(fault.Findings)
	}
	return nil
}

// writeImpact writes what changes for people, first what would be denied: a
// table, then why.
func writeImpact(out io.Writer, im decide.Impact) error {
	var b, why strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, fate := range []decide.Fate{decide.Denied, decide.Raised, decide.Undecided} {
		for _, r := range im.Workloads {
			if r.Fate != fate {
				continue
			}
			if why.Len() == 0 {
				fmt.Fprintln(w, "FATE\tWORKLOAD\tCLASS\tNEEDS\tGETS\tPODS\tMEMORY")
			}
			name := r.Kind + "/" + r.Name
			if r.Namespace != "" {
				name += " (" + r.Namespace + ")"
			}
			name = printable.Text(name)
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Fate, name, r.RiskClass, r.Required, printable.Text(dash(r.RuntimeClass)), podCount(r), memory(r))
			fmt.Fprintf(&why, "\n%s\n", name)
			for _, line := range details(r) {
				fmt.Fprintf(&why, "  %s\n", printable.Text(line))
			}
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if why.Len() > 0 {
		why.WriteByte('\n')
	}
	b.WriteString(why.String())
	s := im.Summary
	fmt.Fprintf(&b, "%d denied, %d raised, %d unchanged, %d undecided, %d not evaluated\n", s.Denied, s.Raised, s.Unchanged, s.Undecided, len(im.NotEvaluated))
	for _, name := range slices.Sorted(maps.Keys(s.RuntimeClasses)) {
		c := s.RuntimeClasses[name]
		fmt.Fprintf(&b, "RuntimeClass %s: %s, %s, %s of overhead\n", printable.Text(name), count(c.Workloads, "workload"), count(c.Pods, "pod"), mebibytes(c.MemoryBytes))
	}
	if s.Unknown > 0 {
		fmt.Fprintf(&b, "the overhead of %s is not known: the RuntimeClass declares none\n", count(s.Unknown, "workload"))
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// details are the lines below a workload.
func details(r decide.ImpactRow) []string {
	lines := []string{fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Reason)}
	if len(r.Loses) > 0 {
		lines = append(lines, "it would lose "+strings.Join(r.Loses, ", "))
	}
	if r.Instead != "" {
		lines = append(lines, "or "+r.Instead)
	}
	return lines
}

func podCount(r decide.ImpactRow) string {
	if r.PerNode {
		return "1 a node"
	}
	return fmt.Sprint(r.Pods)
}

func memory(r decide.ImpactRow) string {
	switch {
	case r.Fate != decide.Raised:
		return "-"
	case r.MemoryBytes == 0 && r.Pods > 0:
		return "not known"
	}
	return mebibytes(r.MemoryBytes)
}

// mebibytes writes an amount of memory in MiB, as overheads are given.
func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
