package sandboxcli

import (
	"context"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/console"
)

// keepVerb starts a keeper. It is for `run --detach`, and hidden.
const keepVerb = "keep-sandbox"

// verb is one of those that make and use sandboxes, which exist on Linux only.
type verb struct {
	name string
	new  func(console.Streams, Parts) *cobra.Command
}

// verbs is the table of what the lean binary does itself.
func verbs() []verb {
	plain := func(newVerb func(console.Streams) *cobra.Command) func(console.Streams, Parts) *cobra.Command {
		return func(s console.Streams, _ Parts) *cobra.Command { return newVerb(s) }
	}
	return []verb{
		{"run", newRun},
		{"image", plain(newImage)},
		{"bench", plain(newBench)},
		{"ps", plain(newPs)},
		{"exec", plain(newExec)},
		{"cp", plain(newCp)},
		{"logs", plain(newLogs)},
		{"kill", plain(newKill)},
		{"rm", plain(newRm)},
		{"gc", plain(newGC)},
		{keepVerb, plain(newKeep)},
		{"version", plain(newVersion)},
	}
}

// Commands are all verbs of this package.
func Commands(s console.Streams, parts Parts) []*cobra.Command {
	var out []*cobra.Command
	for _, v := range verbs() {
		out = append(out, v.new(s, parts))
	}
	return out
}

// Verbs are their names.
func Verbs() []string {
	var out []string
	for _, v := range verbs() {
		out = append(out, v.name)
	}
	return out
}

// Main is the command line of the binary `bulkhead`: the verbs of this package,
// and for all else, also a manifest that is to run, it becomes the Decider.
// It returns the process's exit code.
func Main(ctx context.Context, args []string, s console.Streams) int {
	handOver := func() error { return console.HandOver(Decider, args) }
	i := -1
	if len(args) > 0 {
		i = slices.IndexFunc(verbs(), func(v verb) bool { return v.name == args[0] })
	}
	if i < 0 {
		return console.Report(handOver(), s)
	}
	root := console.NewRoot(s)
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(verbs()[i].new(s, Parts{Plan: func(io.Reader, Manifest) (Plan, error) { return Plan{}, handOver() }}))
	return console.Execute(ctx, root, args, s)
}
