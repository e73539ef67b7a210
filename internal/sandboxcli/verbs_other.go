//go:build !linux

package sandboxcli

import (
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/console"
)

// Commands are the verbs that work on every system.
func Commands(s console.Streams, _ Parts) []*cobra.Command {
	return []*cobra.Command{newVersion(s)}
}
