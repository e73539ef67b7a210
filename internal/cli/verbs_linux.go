package cli

import (
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/console"
)

// linuxVerbs are those that decide and need sandboxes, which exist on Linux only.
func linuxVerbs(s console.Streams) []*cobra.Command { return []*cobra.Command{newDemo(s)} }
