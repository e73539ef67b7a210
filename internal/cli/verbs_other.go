//go:build !linux

package cli

import "github.com/spf13/cobra"

func sandboxVerbs(Streams) []*cobra.Command { return nil }
