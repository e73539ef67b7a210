//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bulkhead-dev/bulkhead/internal/keeper"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

func newLogs(s Streams) *cobra.Command {
	var follow bool
	cmd := &cobra.Command{
		Use:   "logs [flags] NAME",
		Short: "Show what the command of a named sandbox wrote",
		Long: `Show the output of the command that a sandbox was started with: its standard
output and error to this one's, and what Bulkhead has to say (denials, how it
ended) to standard error. At least the last 8 MiB are kept, and at most 16.

To a terminal, control characters are shown and not sent: the output is that of
code which nobody trusts. To a file or a pipe every byte is as it was.`,
		Example:           "  bulkhead logs dev\n  bulkhead logs -f dev",
		ValidArgsFunction: completeNames(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError(errors.New("logs needs one sandbox"), "`bulkhead ps -a` lists sandboxes")
			}
			st, err := store()
			if err != nil {
				return err
			}
			e, err := st.Find(args[0])
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return printLogs(ctx, s, st, e, follow)
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the sandbox ends")
	return cmd
}

func printLogs(ctx context.Context, s Streams, st *keeper.Store, e keeper.Entry, follow bool) error {
	out, errOut := safeForTerminal(s.Out), safeForTerminal(s.Err)
	several := severalOutputs(s)
	defer several.flush()
	return st.Logs(ctx, e, follow, func(r keeper.Record) error {
		out, errOut := out, errOut
		if r.Container != "" {
			out, errOut = several.of(pod.Container{Name: r.Container})
		}
		switch r.Stream {
		case keeper.Stdout:
			_, err := out.Write(r.Data)
			return err
		case keeper.Stderr:
			_, err := errOut.Write(r.Data)
			return err
		default:
			fmt.Fprintf(s.Err, "bulkhead: %s", printable(string(r.Data)))
			return nil
		}
	})
}

// safeForTerminal shows the control characters of what is written to a
// terminal; everything else is left as it is.
func safeForTerminal(w io.Writer) io.Writer {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return w
	}
	return plainWriter{f}
}

type plainWriter struct{ to io.Writer }

func (p plainWriter) Write(data []byte) (int, error) {
	if _, err := io.WriteString(p.to, printable(string(data))); err != nil {
		return 0, err
	}
	return len(data), nil
}
