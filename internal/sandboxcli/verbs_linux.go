package sandboxcli

import (
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/console"
)

// Commands are the verbs of sandboxes, which exist on Linux only, and version.
func Commands(s console.Streams, plan Planner) []*cobra.Command {
	return []*cobra.Command{
		newRun(s, plan), newImage(s), newBench(s),
		newPs(s), newExec(s), newCp(s), newLogs(s), newKill(s), newRm(s), newGC(s), newKeep(s), newVersion(s),
	}
}
