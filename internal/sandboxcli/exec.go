//go:build linux

package sandboxcli

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	var dir, container string
	cmd := &cobra.Command{
		Use:   "exec [flags] NAME COMMAND [ARG]...",
		Short: "Run a command in a named sandbox",
		Long: `Run a command in a sandbox that "bulkhead run --detach" started. The exit codes
are those of "bulkhead run": the command's own, 128+n for signal n, 125 when
Bulkhead failed, 126 and 127 when the command cannot be executed or is not there.

In a pod (run -f --detach) it runs in one container, with the container's
variables and working directory: the one that -c names, else that of the
annotation kubectl.kubernetes.io/default-container, else the first.`,
		Example:           "  bulkhead exec dev python3 -V\n  bulkhead exec -it dev bash\n  bulkhead exec -e MODE=test -w /work dev make test\n  bulkhead exec -c web pod env",
		ValidArgsFunction: completeNames(false),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runErrorCode(func() error {
				if len(args) > 1 && strings.HasPrefix(args[1], "-") { // as kubectl: flags after the name
					if err := cmd.Flags().Parse(args[1:]); err != nil {
						return cmd.FlagErrorFunc()(cmd, err)
					}
					args = append(args[:1:1], cmd.Flags().Args()...)
				}
				if len(args) < 2 {
					return console.UsageError(errors.New("exec needs a sandbox and a command"), "bulkhead exec NAME COMMAND; `bulkhead ps` lists sandboxes")
				}
				command := agent.Command{Args: args[1:], Dir: dir}
				var err error
				if command.Env, err = parseEnv(env); err != nil {
					return err
				}
				return execIn(cmd.Context(), s, args[0], container, interactive, tty, command)
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
	containerFlag(cmd, &container, "container of a pod to run it in")
	return cmd
}

func execIn(ctx context.Context, s console.Streams, name, container string, interactive, tty bool, command agent.Command) error {
	l, err := lend(ctx, s, name, container)
	if err != nil {
		return err
	}
	if err := l.complete(ctx, &command); err != nil {
		return err
	}
	execution := runner.Execution{Command: command}
	detach, err := attach(s, interactive, tty, &execution)
	if err != nil {
		return err
	}
	defer detach()
	client := l.client()
	defer client.Close()
	code, err := runner.Exec(ctx, client, execution)
	if errors.Is(err, agent.ErrLost) {
		return l.lost(ctx, err)
	}
	if err != nil {
		return err
	}
	return console.Exit(code)
}

// lost says how the sandbox or the container ended under a command, when its
// keeper told.
func (l lent) lost(ctx context.Context, err error) error {
	st, storeErr := store()
	if storeErr != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if st.AwaitEnd(ctx, l.Entry, l.container) != nil {
		return err
	}
	now, findErr := st.Find(l.Name)
	switch {
	case findErr != nil || now.ID != l.ID:
		return err
	case now.Error != "":
		return fault.WithCode(fmt.Errorf("sandbox %s ended: %s", l.Name, printable.Lines(now.Error)), now.ExitCode)
	case now.Status == keeper.Running:
		return fault.WithHint(fmt.Errorf("container %s of sandbox %s ended", l.container, l.Name), fmt.Sprintf("`bulkhead logs %s` says why", l.Name))
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
