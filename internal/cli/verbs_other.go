//go:build !linux

package cli

import (
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/console"
)

func linuxVerbs(console.Streams) []*cobra.Command { return nil }
