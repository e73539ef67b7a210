//go:build linux

package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/examples"
	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/demo"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
)

// demoFlags are the flags of `bulkhead demo`.
type demoFlags struct {
	output string
	report string // where the HTML report goes; empty: nowhere
	inside string // the stage's folder, in the process that has a network of its own
}

func newDemo(s console.Streams) *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Classify an example, run its dangerous part, and watch it try to get out",
		Long: `demo takes the example of an LLM application through the whole loop: it checks
the manifests, explains the code interpreter, is refused by the default route,
and runs it by the example's waiver behind gVisor with a hostile program in the
place of model-written code. The same program in the same sandbox under runc is
the control (as root, and where runc is). Nothing leaves this machine, and no
attempt does harm where it succeeds.

Exit code: 0 nothing reached the host from behind the boundary, 1 something did,
2 bad usage, 125 the demo could not be made.`,
		Example: `  bulkhead demo
  bulkhead demo -o json --report ''
  sudo bulkhead demo --report /tmp/report.html`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return console.UsageError(fmt.Errorf("demo takes no arguments, not %q", args[0]), "see `bulkhead demo --help`")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := console.OneOf("output", f.output, "table", "json"); err != nil {
				return err
			}
			err := f.run(cmd.Context(), s)
			return fault.WithCode(err, fault.Code(err, fault.Internal))
		},
	}
	cmd.Flags().StringVarP(&f.output, "output", "o", "table", "output format: table or json")
	cmd.Flags().StringVar(&f.report, "report", "bulkhead-report.html", "where to write the HTML report; empty: nowhere")
	cmd.Flags().StringVar(&f.inside, "inside", "", "")
	_ = cmd.Flags().MarkHidden("inside")
	console.Complete(cmd, "output", "table", "json")
	return cmd
}

// run sets the stage, a folder with the example, and plays on it in a process
// whose network is its own: the fake metadata server has an address that is
// real elsewhere, and whatever a sandbox gets out to is in there.
func (f demoFlags) run(ctx context.Context, s console.Streams) error {
	if f.inside != "" {
		return f.play(ctx, s)
	}
	args := []string{"demo", "--output", f.output, "--report", ""}
	if f.report != "" {
		path, err := filepath.Abs(f.report)
		if err != nil {
			return fmt.Errorf("finding the report's folder: %w", err)
		}
		args[len(args)-1] = path
	}
	stage, err := os.MkdirTemp("", "bulkhead-demo-")
	if err != nil {
		return fault.WithHint(fmt.Errorf("making a folder for the demo: %w", err), "set TMPDIR to a folder of your own")
	}
	defer os.RemoveAll(stage)
	if err := setStage(stage); err != nil {
		return fmt.Errorf("writing the example: %w", err)
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append(args, "--inside", stage)...)
	cmd.Args[0] = os.Args[0]
	cmd.Dir = stage
	cmd.Stdout, cmd.Stderr = s.Out, s.Err
	demo.InNamespace(cmd)
	return follow(cmd)
}

// setStage writes the example to where paths read as they do in a checkout. A
// configuration without content keeps those of parent folders out.
func setStage(dir string) error {
	err := os.CopyFS(filepath.Join(dir, "examples"), examples.LLMStack)
	return errors.Join(err, os.WriteFile(filepath.Join(dir, config.FileName), []byte("apiVersion: "+config.APIVersion+"\n"), fs.FileMode(0o644)))
}

// follow starts cmd, passes signals on to it and ends with its exit code.
func follow(cmd *exec.Cmd) error {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return fault.WithHint(fmt.Errorf("making a network namespace for the demo: %w", err),
			"run it as root, or allow user namespaces (sysctl user.max_user_namespaces above 0, on Debian kernel.unprivileged_userns_clone=1, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0)")
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			_ = cmd.Process.Signal(sig)
		case err := <-ended:
			if exit, ok := errors.AsType[*exec.ExitError](err); ok {
				if exit.Exited() {
					return console.Exit(exit.ExitCode()) // it said why
				}
				// Passed on before the child was ready for it, or nobody reads any more.
				if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signal() != syscall.SIGKILL {
					return console.Exit(128 + int(status.Signal()))
				}
			}
			if err != nil {
				return fmt.Errorf("the demo ended early: %w", err)
			}
			return nil
		}
	}
}
