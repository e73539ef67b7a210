//go:build linux

package sandboxcli

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
)

// attachTerminal gives the command a terminal of this one's size and, with -i,
// puts this one into raw mode, so that keys such as Ctrl-C reach the command.
// restore undoes it.
func attachTerminal(s console.Streams, interactive bool, req *runner.Execution) (restore func(), err error) {
	out, isFile := s.Out.(*os.File)
	if !isFile || !term.IsTerminal(int(out.Fd())) {
		return nil, console.UsageError(errors.New("-t needs a terminal, and standard output is none"), "leave out -t")
	}
	size := func() agent.Size {
		width, height, err := term.GetSize(int(out.Fd()))
		if err != nil {
			width, height = 80, 24
		}
		return agent.Size{Columns: uint32(width), Rows: uint32(height)}
	}
	initial := size()
	req.Command.Terminal = &initial
	if name := os.Getenv("TERM"); name != "" {
		req.Command.Env = append(req.Command.Env, "TERM="+name)
	}

	changes := make(chan os.Signal, 1)
	signal.Notify(changes, syscall.SIGWINCH)
	resizes := make(chan agent.Size)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-changes:
				select {
				case resizes <- size():
				case <-done:
					return
				}
			case <-done:
				return
			}
		}
	}()
	req.Resizes = resizes
	restore = func() { signal.Stop(changes); close(done) }

	in, isFile := s.In.(*os.File)
	if !interactive || !isFile || !term.IsTerminal(int(in.Fd())) {
		return restore, nil
	}
	previous, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		restore()
		return nil, err
	}
	return func() { _ = term.Restore(int(in.Fd()), previous); restore() }, nil
}
