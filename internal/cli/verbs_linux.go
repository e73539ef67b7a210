package cli

import "github.com/spf13/cobra"

// sandboxVerbs are the verbs that need sandboxes, which exist on Linux only.
func sandboxVerbs(s Streams) []*cobra.Command {
	return []*cobra.Command{
		newRun(s), newDemo(s), newImage(s), newBench(s),
		newPs(s), newExec(s), newCp(s), newLogs(s), newKill(s), newRm(s), newGC(s), newKeep(s),
	}
}
