// Package cli is the command line of Bulkhead: one file a verb. It turns flags
// and files into calls on the inner packages and their results into output and
// exit codes; it decides nothing itself.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/report"
)

// Streams are the process's standard streams, passed in so that every verb can
// be driven from a test.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// errSilent ends a verb with a code and no message: what there was to say is
// in the verb's own output (findings) or was the command's own (run).
var errSilent = errors.New("")

// exitWith returns an error that sets the exit code and prints nothing.
func exitWith(code int) error {
	if code == 0 {
		return nil
	}
	return fault.WithCode(errSilent, code)
}

// usageError is bad input or a bad command line: exit code 2.
func usageError(err error, hint string) error {
	return fault.WithHint(fault.WithCode(err, fault.Usage), hint)
}

// Main runs the command line and returns the process's exit code. Every error
// is printed here and nowhere else.
func Main(ctx context.Context, args []string, s Streams) int {
	cmd := newRoot(s)
	cmd.SetArgs(args)
	err := cmd.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !errors.Is(err, errSilent) {
		fmt.Fprintf(s.Err, "bulkhead: %s\n", printable(err.Error()))
		if hint := fault.Hint(err); hint != "" {
			fmt.Fprintf(s.Err, "  next: %s\n", printable(hint))
		}
	}
	return fault.Code(err, fault.Usage)
}

// printable shows what a terminal or a CI runner would act upon: messages quote
// manifests and guests, and both may be hostile.
func printable(message string) string {
	lines := strings.Split(message, "\n")
	for i, line := range lines {
		lines[i] = report.Plain(line)
	}
	return strings.Join(lines, "\n")
}

// knownVerb refuses what is no verb, and names those that look like it.
func knownVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := "`bulkhead --help` lists the verbs"
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		hint = fmt.Sprintf("did you mean `bulkhead %s`?", strings.Join(like, "` or `bulkhead "))
	}
	return usageError(fmt.Errorf("unknown verb %q", args[0]), hint)
}

func newRoot(s Streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "bulkhead",
		Short: "Isolation boundaries for LLM workloads: decide, enforce, run, prove",
		Long: `Bulkhead puts every LLM workload behind the isolation boundary that its risk
calls for, and proves that the boundary is there.`,
		Args:                       knownVerb,
		SilenceUsage:               true,
		SilenceErrors:              true,
		DisableAutoGenTag:          true,
		SuggestionsMinimumDistance: 2,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError(err, fmt.Sprintf("see `%s --help`", cmd.CommandPath()))
	})
	root.AddCommand(newVersion(s))
	root.AddCommand(newCheck(s), newExplain(s), newHarden(s), newRules(s), newPolicy(s))
	root.AddCommand(sandboxVerbs(s)...)
	return root
}
