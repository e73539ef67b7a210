package cli

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/report"
)

func newExplain(s console.Streams) *cobra.Command {
	var configPath string
	var inputs inputFlags
	cmd := &cobra.Command{
		Use:   "explain FILE[:KIND/NAME]",
		Short: "Explain one workload: what it is, why, what it needs and what to change",
		Long: `explain tells, for the workloads of a file or folder (or the one that is named),
what each is, the evidence, the boundary that it needs and why, what it has,
what stands around it, what is missing, and the exact change. Name the folder to
have the NetworkPolicies, RBAC and RuntimeClasses beside the workload count.

Exit code: 0, or 2 for bad input (what could be read is still explained).`,
		Example: `  bulkhead explain examples/llm-stack/code-interpreter.yaml
  bulkhead explain examples/article:Deployment/tool-agent
  helm template my-chart | bulkhead explain -`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return console.UsageError(fmt.Errorf("explain takes one FILE[:KIND/NAME], not %d arguments", len(args)), "see `bulkhead explain --help`")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return explain(cmd.Context(), s, configPath, inputs, args[0])
		},
	}
	cmd.Flags().StringVar(&configPath, "config", "", "configuration file (default: bulkhead.yaml here or in a parent folder)")
	inputs.add(cmd)
	return cmd
}

func explain(ctx context.Context, s console.Streams, configPath string, inputs inputFlags, arg string) error {
	path, want := splitTarget(arg)
	in, err := readInput(ctx, s, configPath, inputs, []string{path}, true)
	if err != nil {
		return err
	}
	shown := 0
	var names []string
	for _, d := range in.outcome.Decisions {
		name := d.Row.Kind + "/" + d.Row.Name
		names = append(names, name)
		if want != "" && !strings.EqualFold(want, name) {
			continue
		}
		if shown++; shown > 1 {
			fmt.Fprintf(s.Out, "\n%s\n\n", strings.Repeat("-", 72))
		}
		if err := report.WriteExplain(s.Out, d.Row, coloured(s.Out)); err != nil {
			return fault.WithCode(fmt.Errorf("writing: %w", err), fault.Usage)
		}
	}
	switch {
	case in.bad:
		return console.Exit(fault.Usage)
	case shown == 0:
		return nothingToExplain(path, want, names, in.outcome)
	}
	return nil
}

func nothingToExplain(path, want string, names []string, out decide.Outcome) error {
	if len(names) > 0 {
		return console.UsageError(fmt.Errorf("%s has no workload %s", path, want), "it has "+strings.Join(names, ", "))
	}
	if len(out.NotEvaluated) > 0 {
		n := out.NotEvaluated[0]
		return console.UsageError(fmt.Errorf("%s:%d: %s/%s is not evaluated: %s", n.File, n.Line, n.Kind, n.Name, n.Reason), "name a workload of a known kind")
	}
	return console.UsageError(fmt.Errorf("%s has no workload", path), "name a file with a Pod, Deployment or another workload")
}

// splitTarget splits FILE:KIND/NAME. A file whose own name has such a form wins.
func splitTarget(arg string) (path, want string) {
	i := strings.LastIndexByte(arg, ':')
	if i < 0 || !strings.Contains(arg[i:], "/") {
		return arg, ""
	}
	if _, err := os.Stat(arg); err == nil {
		return arg, ""
	}
	return arg[:i], arg[i+1:]
}
