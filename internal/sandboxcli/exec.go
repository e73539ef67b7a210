//go:build linux

package sandboxcli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/keeper"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
)

func newExec(s console.Streams) *cobra.Command {
	var interactive, tty bool
	var env []string
	var dir string
	cmd := &cobra.Command{
		Use:   "exec [flags] NAME COMMAND [ARG]...",
		Short: "Run a command in a named sandbox",
		Long: `Run a command in a sandbox that "bulkhead run --detach" started. The exit codes
are those of "bulkhead run": the command's own, 128+n for signal n, 125 when
Bulkhead failed, 126 and 127 when the command cannot be executed or is not there.`,
		Example:           "  bulkhead exec dev python3 -V\n  bulkhead exec -it dev bash\n  bulkhead exec -e MODE=test -w /work dev make test",
		ValidArgsFunction: completeNames(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runErrorCode(func() error {
				if len(args) > 1 && args[1] == "--" {
					args = append(args[:1:1], args[2:]...)
				}
				if len(args) < 2 {
					return console.UsageError(errors.New("exec needs a sandbox and a command"), "bulkhead exec NAME COMMAND; `bulkhead ps` lists sandboxes")
				}
				e, err := running(args[0])
				if err != nil {
					return err
				}
				command := agent.Command{Args: args[1:], Dir: e.Dir}
				if dir != "" {
					command.Dir = dir
				}
				if command.Env, err = parseEnv(env); err != nil {
					return err
				}
				return execIn(cmd.Context(), s, e, interactive, tty, command)
			}())
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		return fault.WithHint(fault.WithCode(fmt.Errorf("exec: %w", err), fault.Internal), "see `bulkhead exec --help`")
	})
	fl := cmd.Flags()
	fl.SetInterspersed(false)
	fl.BoolVarP(&interactive, "interactive", "i", false, "pass standard input to the command")
	fl.BoolVarP(&tty, "tty", "t", false, "give the command a terminal")
	fl.StringArrayVarP(&env, "env", "e", nil, "set K=V in the command's environment, or pass K on")
	fl.StringVarP(&dir, "workdir", "w", "", "working directory in the sandbox")
	return cmd
}

func execIn(ctx context.Context, s console.Streams, e keeper.Entry, interactive, tty bool, command agent.Command) error {
	execution := runner.Execution{Command: command}
	detach, err := attach(s, interactive, tty, &execution)
	if err != nil {
		return err
	}
	defer detach()
	client := agent.Dial(e.GuestSocket())
	defer client.Close()
	code, err := runner.Exec(ctx, client, execution)
	if errors.Is(err, agent.ErrLost) {
		return lost(ctx, e, err)
	}
	if err != nil {
		return err
	}
	return console.Exit(code)
}

// lost says how the sandbox ended under a command, when its keeper told.
func lost(ctx context.Context, e keeper.Entry, err error) error {
	st, storeErr := store()
	if storeErr != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = st.Await(ctx, e)
	if now, findErr := st.Find(e.Name); findErr == nil && now.ID == e.ID && now.Error != "" {
		return fault.WithCode(fmt.Errorf("sandbox %s ended: %s", e.Name, printable.Lines(now.Error)), now.ExitCode)
	}
	return err
}

// running returns a sandbox that runs.
func running(name string) (keeper.Entry, error) {
	st, err := store()
	if err != nil {
		return keeper.Entry{}, err
	}
	e, err := st.Find(name)
	if err == nil && e.Status != keeper.Running {
		err = fault.WithHint(fmt.Errorf("sandbox %s is not running: it %s", name, e.Status), "`bulkhead ps -a` says how it ended, `bulkhead logs` what it said")
	}
	return e, err
}
