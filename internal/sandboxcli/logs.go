//go:build linux

package sandboxcli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/keeper"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
)

func newLogs(s console.Streams) *cobra.Command {
	f := logFlags{tail: -1}
	cmd := &cobra.Command{
		Use:   "logs [flags] NAME",
		Short: "Show what the command of a named sandbox wrote",
		Long: `Show the output of the command that a sandbox was started with: its standard
output and error to this one's, and what Bulkhead has to say (denials, how it
ended) to standard error. At least the last 8 MiB are kept, and at most 16.

To a terminal, control characters are shown and not sent: the output is that of
code which nobody trusts. To a file or a pipe every byte is as it was.

Of a pod of several containers each line says whose it is. -c shows one
container's output alone, as it was.`,
		Example:           "  bulkhead logs dev\n  bulkhead logs -f --tail 100 dev\n  bulkhead logs --since 10m dev\n  bulkhead logs -c web pod",
		ValidArgsFunction: completeNames(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return console.UsageError(errors.New("logs needs one sandbox"), "`bulkhead ps -a` lists sandboxes")
			}
			st, err := store()
			if err != nil {
				return err
			}
			e, err := st.Find(args[0])
			if err != nil {
				return err
			}
			if err := checkContainer(e, f.container); err != nil {
				return err
			}
			if !f.all {
				f.container = e.Default
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return printLogs(ctx, s, st, e, f)
		},
	}
	cmd.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on until the sandbox ends")
	cmd.Flags().IntVarP(&f.tail, "tail", "n", -1, "only the last N lines (default: all that are kept)")
	cmd.Flags().StringVar(&f.since, "since", "", "only what was written since a time (2006-01-02T15:04:05Z) or for a duration (10m)")
	containerFlag(cmd, &f.container, "only what this container of a pod wrote")
	cmd.Flags().BoolVar(&f.all, "all-containers", true, "what all containers of a pod wrote; with =false, the one that exec means")
	cmd.MarkFlagsMutuallyExclusive("container", "all-containers")
	return cmd
}

// logFlags are the flags of `bulkhead logs`.
type logFlags struct {
	follow bool
	tail   int // below 0: everything
	since  string
	// container is whose output is shown; empty: everyone's.
	container string
	all       bool
}

// shows reports whether a record is to be shown. What Bulkhead says always is.
func (f logFlags) shows(r keeper.Record, from time.Time) bool {
	// The only container of a pod has no name in its records.
	whose := f.container == "" || r.Container == f.container || r.Container == ""
	return whose && !r.Time.Before(from)
}

// from is the time that --since means.
func (f logFlags) from(now time.Time) (time.Time, error) {
	if f.since == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(f.since); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, f.since)
	if err != nil {
		return t, console.UsageError(fmt.Errorf("--since %q is neither a duration nor a time", f.since), "write 10m, or 2006-01-02T15:04:05Z")
	}
	return t, nil
}

func printLogs(ctx context.Context, s console.Streams, st *keeper.Store, e keeper.Entry, f logFlags) error {
	from, err := f.from(time.Now())
	if err != nil {
		return err
	}
	skip := 0 // lines
	if f.tail >= 0 {
		if err := st.Logs(ctx, e, false, func(r keeper.Record) error {
			if f.shows(r, from) {
				skip += bytes.Count(r.Data, []byte("\n"))
			}
			return nil
		}); err != nil {
			return err
		}
		skip = max(0, skip-f.tail)
	}
	out, errOut := safeForTerminal(s.Out), safeForTerminal(s.Err)
	several := severalOutputs(s)
	defer several.flush()
	return st.Logs(ctx, e, f.follow, func(r keeper.Record) error {
		if !f.shows(r, from) {
			return nil
		}
		for ; skip > 0 && len(r.Data) > 0; skip-- {
			_, rest, found := bytes.Cut(r.Data, []byte("\n"))
			if r.Data = rest; !found {
				return nil
			}
		}
		if len(r.Data) == 0 {
			return nil
		}
		out, errOut := out, errOut
		if r.Container != f.container {
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
			fmt.Fprintf(s.Err, "bulkhead: %s", printable.Lines(string(r.Data)))
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
	if _, err := io.WriteString(p.to, printable.Lines(string(data))); err != nil {
		return 0, err
	}
	return len(data), nil
}
