// Command bulkhead-runsc is gVisor's runsc, unchanged, plus the supervisor that
// drives one sandbox in process for `bulkhead run` (see package supervisor).
// With any first argument but "supervise", and "resume" of one that was parked, it
// is runsc.
package main

import (
	"os"

	"gvisor.dev/gvisor/runsc/cli/maincli"

	"github.com/bulkhead-dev/bulkhead/engine/gvisor/wire"
	"github.com/bulkhead-dev/bulkhead/gvisor/coldstart"
	_ "github.com/bulkhead-dev/bulkhead/gvisor/entry" // what it starts with
	"github.com/bulkhead-dev/bulkhead/gvisor/filters"
	"github.com/bulkhead-dev/bulkhead/gvisor/supervisor"
)

func main() {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case wire.Verb:
			os.Exit(supervisor.Main(os.Args[2:]))
		case supervisor.ResumeVerb:
			os.Exit(supervisor.Resume(os.Args[2:]))
		}
	}
	// The process that becomes a sandbox is started as runsc.
	filters.Use()
	coldstart.Use(os.Args, coldstart.Settled)
	maincli.Main()
}
