package sandboxcli

import (
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/version"
)

func newVersion(s console.Streams) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  bulkhead version\n  bulkhead version -o json",
		Args:    cobra.NoArgs,
		RunE: func(_ *cobra.Command, _ []string) error {
			switch output {
			case "text":
				fmt.Fprintf(s.Out, "bulkhead %s %s/%s %s\n", version.String(), runtime.GOOS, runtime.GOARCH, runtime.Version())
				return nil
			case "json":
				return json.NewEncoder(s.Out).Encode(map[string]string{
					"version": version.String(), "os": runtime.GOOS, "arch": runtime.GOARCH, "go": runtime.Version(),
				})
			default:
				return console.UsageError(fmt.Errorf("unknown output format %q", output), "use -o text or -o json")
			}
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "output format: text or json")
	return cmd
}
