//go:build linux

package sandboxcli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/engine/gvisor"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/keeper"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
)

// killTimeout bounds the wait for a killed sandbox's end.
const killTimeout = 30 * time.Second

func store() (*keeper.Store, error) {
	dir, err := StateDir()
	if err != nil {
		return nil, err
	}
	return keeper.NewStore(dir), nil
}

// completeNames completes the names of sandboxes, at any place or the first only.
func completeNames(everywhere bool) func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && !everywhere {
			return nil, cobra.ShellCompDirectiveDefault
		}
		st, err := store()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		entries, err := st.List()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func newPs(s console.Streams) *cobra.Command {
	var all, quiet bool
	var output string
	cmd := &cobra.Command{
		Use:   "ps [flags]",
		Short: "List the named sandboxes of this user",
		Long: `List the sandboxes that "bulkhead run --detach" started: those that run, and
those whose keeper crashed. With -a also those that ended and were not removed.
As JSON, a pod also has its containers, and how each is.`,
		Example: "  bulkhead ps\n  bulkhead ps -a -o json\n  bulkhead rm $(bulkhead ps -aq)",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := tableOrJSON(output); err != nil {
				return err
			}
			st, err := store()
			if err != nil {
				return err
			}
			entries, err := st.List()
			if err != nil {
				return err
			}
			shown := []keeper.Entry{}
			for _, e := range entries {
				if all || e.Status != keeper.Exited {
					shown = append(shown, e)
				}
			}
			return printEntries(s, shown, quiet, output)
		},
	}
	fl := cmd.Flags()
	fl.BoolVarP(&all, "all", "a", false, "also those that ended")
	fl.BoolVarP(&quiet, "quiet", "q", false, "names only")
	fl.StringVarP(&output, "output", "o", "table", "table or json")
	return cmd
}

func printEntries(s console.Streams, entries []keeper.Entry, quiet bool, output string) error {
	if output == "json" {
		enc := json.NewEncoder(s.Out)
		enc.SetIndent("", "  ")
		return enc.Encode(entries)
	}
	if quiet {
		for _, e := range entries {
			fmt.Fprintln(s.Out, e.Name)
		}
		return nil
	}
	w := tabwriter.NewWriter(s.Out, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "NAME\tSTATUS\tENGINE\tBOUNDARY\tCOMMAND")
	for _, e := range entries {
		command := "-"
		if len(e.Command) > 0 {
			command = short(printable.Lines(strings.Join(e.Command, " ")))
		} else if len(e.Containers) > 0 {
			command = short("pod of " + listed(e.Containers))
		}
		boundary := "-"
		if e.Boundary != 0 {
			boundary = e.Boundary.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.Name, describe(e, time.Now()), e.Engine, boundary, command)
	}
	return w.Flush()
}

// short cuts a command for a table.
func short(text string) string {
	const shown = 40
	if r := []rune(strings.ReplaceAll(text, "\n", " ")); len(r) > shown {
		return string(r[:shown-1]) + "…"
	}
	return strings.ReplaceAll(text, "\n", " ")
}

// describe says how a sandbox is, as docker does.
func describe(e keeper.Entry, now time.Time) string {
	switch e.Status {
	case keeper.Running:
		return "running for " + age(now.Sub(e.Created))
	case keeper.Exited:
		return fmt.Sprintf("exited (%d) %s ago", e.ExitCode, age(now.Sub(*e.Ended)))
	default:
		return "crashed (bulkhead gc removes it)"
	}
}

func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return strconv.Itoa(int(max(d, 0).Seconds())) + "s"
	case d < time.Hour:
		return strconv.Itoa(int(d.Minutes())) + "m"
	case d < 48*time.Hour:
		return strconv.Itoa(int(d.Hours())) + "h"
	default:
		return strconv.Itoa(int(d.Hours()/24)) + "d"
	}
}

// forEach does something with each named sandbox, and prints the names with
// which it went well.
func forEach(s console.Streams, names []string, do func(*keeper.Store, keeper.Entry) error) error {
	st, err := store()
	if err != nil {
		return err
	}
	var failed error
	for _, name := range names {
		e, err := st.Find(name)
		if err == nil {
			err = do(st, e)
		}
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		fmt.Fprintln(s.Out, name)
	}
	return failed
}

func newKill(s console.Streams) *cobra.Command {
	var name, container string
	cmd := &cobra.Command{
		Use:   "kill [flags] NAME...",
		Short: "End named sandboxes, or signal their commands",
		Long: `End sandboxes: every process in them is gone when this returns. Another signal
(-s) goes to the command that the sandbox was started with, which may handle it;
a sandbox without a command ends with any.

A pod ends in order with TERM or INT. With -c the signal goes to the command of
one container, which the pod's restartPolicy may start again.`,
		Example:           "  bulkhead kill dev\n  bulkhead kill -s TERM dev\n  bulkhead kill -c web -s HUP pod",
		Args:              oneOrMoreNames,
		ValidArgsFunction: completeNames(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := parseSignal(name)
			if err != nil {
				return err
			}
			return forEach(s, args, func(st *keeper.Store, e keeper.Entry) error {
				return kill(cmd.Context(), st, e, container, number)
			})
		},
	}
	cmd.Flags().StringVarP(&name, "signal", "s", "KILL", "signal, by name or number")
	containerFlag(cmd, &container, "container of a pod whose command is signalled")
	return cmd
}

// kill signals a sandbox, or one of its containers.
func kill(ctx context.Context, st *keeper.Store, e keeper.Entry, container string, number syscall.Signal) error {
	if e.Status != keeper.Running {
		return console.UsageError(fmt.Errorf("sandbox %s is not running", e.Name), "`bulkhead ps -a` says how it ended")
	}
	if err := checkContainer(e, container); err != nil {
		return err
	}
	if err := st.Signal(ctx, e, container, int(number)); err != nil || container != "" {
		return err
	}
	if number != syscall.SIGKILL {
		return nil
	}
	ctx, stop := context.WithTimeout(ctx, killTimeout)
	defer stop()
	return st.AwaitEnd(ctx, e, "")
}

func parseSignal(text string) (syscall.Signal, error) {
	if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= 64 {
		return syscall.Signal(n), nil
	}
	if n := unix.SignalNum("SIG" + strings.TrimPrefix(strings.ToUpper(text), "SIG")); n != 0 {
		return n, nil
	}
	return 0, console.UsageError(fmt.Errorf("there is no signal %q", text), "give a name such as TERM, or a number")
}

func newRm(s console.Streams) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:               "rm [flags] NAME...",
		Short:             "Remove named sandboxes that ended, with their logs",
		Example:           "  bulkhead rm dev\n  bulkhead rm -f dev",
		Args:              oneOrMoreNames,
		ValidArgsFunction: completeNames(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			return forEach(s, args, func(st *keeper.Store, e keeper.Entry) error {
				if force && e.Status == keeper.Running {
					if err := kill(cmd.Context(), st, e, "", syscall.SIGKILL); err != nil {
						return err
					}
				}
				return st.Remove(e)
			})
		},
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "end those that run first")
	return cmd
}

func newGC(s console.Streams) *cobra.Command {
	return &cobra.Command{
		Use:     "gc",
		Short:   "Remove every named sandbox that ended or crashed",
		Long:    "Remove every named sandbox that is not running, with its log, and what crashes left behind.",
		Example: "  bulkhead gc",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			st, err := store()
			if err != nil {
				return err
			}
			entries, err := st.List()
			failed := errors.Join(err, st.Sweep(), sweepEngines(cmd.Context()))
			for _, e := range entries {
				if e.Status == keeper.Running {
					continue
				}
				if err := st.Remove(e); err != nil {
					failed = errors.Join(failed, err)
					continue
				}
				fmt.Fprintln(s.Out, e.Name)
			}
			return failed
		},
	}
}

// sweepEngines cleans up after sandboxes whose bulkhead was killed.
func sweepEngines(ctx context.Context) error {
	state, err := StateDir()
	if err != nil {
		return err
	}
	var failed error
	for _, e := range engines(state, gvisor.Systrap) {
		if sweeper, ok := e.(interface {
			Sweep(ctx context.Context) error
		}); ok {
			failed = errors.Join(failed, sweeper.Sweep(ctx))
		}
	}
	return failed
}

func oneOrMoreNames(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return console.UsageError(errors.New("no sandbox named"), fmt.Sprintf("see `%s --help`; `bulkhead ps -a` lists sandboxes", cmd.CommandPath()))
	}
	return nil
}

// tableOrJSON refuses any other format of a list.
func tableOrJSON(output string) error {
	if output != "table" && output != "json" {
		return console.UsageError(fmt.Errorf("unknown output %q", output), "it is table or json")
	}
	return nil
}
