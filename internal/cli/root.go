// Package cli is the whole command line of Bulkhead: the verbs that decide are
// here, one file a verb, those of sandboxes in `internal/sandboxcli`. It turns
// flags and files into calls on the inner packages and their results into output
// and exit codes; it decides nothing itself.
package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/sandboxcli"
)

// Main runs the command line and returns the process's exit code.
func Main(ctx context.Context, args []string, s console.Streams) int {
	if err := console.CheckCaller(sandboxcli.Decider); err != nil {
		return console.Report(err, s)
	}
	return console.Execute(ctx, newRoot(s), args, s)
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
	return console.UsageError(fmt.Errorf("unknown verb %q", args[0]), hint)
}

func newRoot(s console.Streams) *cobra.Command {
	root := console.NewRoot(s)
	root.Short = "Isolation boundaries for LLM workloads: decide, enforce, run, prove"
	root.Long = `Bulkhead puts every LLM workload behind the isolation boundary that its risk
calls for, and proves that the boundary is there.`
	root.Args = knownVerb
	root.SuggestionsMinimumDistance = 2
	root.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	root.AddCommand(newCheck(s), newExplain(s), newHarden(s), newRules(s), newPolicy(s))
	root.AddCommand(sandboxcli.Commands(s, sandboxcli.Parts{Plan: planPod, Keeper: "bulkhead"})...)
	root.AddCommand(linuxVerbs(s)...)
	return root
}
