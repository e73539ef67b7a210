// Command bulkhead-decide has the whole command line of bulkhead, and links what
// judges manifests. bulkhead becomes it for every verb that makes no sandbox.
package main

import (
	"context"
	"os"

	"github.com/bulkhead-dev/bulkhead/internal/cli"
	"github.com/bulkhead-dev/bulkhead/internal/console"
)

func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], console.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
