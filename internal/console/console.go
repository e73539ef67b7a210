// Package console is what the command lines of Bulkhead's binaries share: their
// streams, errors with hint and exit code that are printed once, progress on a
// terminal, and the binaries beside this one.
package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
)

// Streams are the process's standard streams, passed in so that every verb can
// be driven from a test.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// ErrSilent ends a verb with a code and no message: what there was to say is
// in the verb's own output (findings) or was the command's own (run).
var ErrSilent = errors.New("")

// Exit returns an error that sets the exit code and prints nothing.
func Exit(code int) error {
	if code == 0 {
		return nil
	}
	return fault.WithCode(ErrSilent, code)
}

// UsageError is bad input or a bad command line: exit code 2.
func UsageError(err error, hint string) error {
	return fault.WithHint(fault.WithCode(err, fault.Usage), hint)
}

// Complete offers the values of a flag to the shell.
func Complete(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) //nolint:forbidigo // the flag was not defined: a mistake in the verb, which its tests see
	}
}

// OneOf is the usage error for a flag's value that is not among the known.
func OneOf(flag, value string, known ...string) error {
	if slices.Contains(known, value) {
		return nil
	}
	return UsageError(fmt.Errorf("invalid value %q for --%s", value, flag), "use one of "+strings.Join(known, ", "))
}

// NewRoot returns the command `bulkhead`, to which a binary adds its verbs.
func NewRoot(s Streams) *cobra.Command {
	root := &cobra.Command{Use: "bulkhead", SilenceUsage: true, SilenceErrors: true, DisableAutoGenTag: true}
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return UsageError(err, fmt.Sprintf("see `%s --help`", cmd.CommandPath()))
	})
	return root
}

// Execute runs a command line and returns the process's exit code.
func Execute(ctx context.Context, root *cobra.Command, args []string, s Streams) int {
	root.SetArgs(args)
	return Report(root.ExecuteContext(ctx), s)
}

// Report prints the error of a command line, which is printed nowhere else, and
// returns the process's exit code.
func Report(err error, s Streams) int {
	if err == nil {
		return 0
	}
	if !errors.Is(err, ErrSilent) {
		// Messages quote manifests and guests, and both may be hostile.
		fmt.Fprintf(s.Err, "bulkhead: %s\n", printable.Lines(err.Error()))
		if hint := fault.Hint(err); hint != "" {
			fmt.Fprintf(s.Err, "  next: %s\n", printable.Lines(hint))
		}
	}
	return fault.Code(err, fault.Usage)
}
