//go:build !linux

package main

import (
	"context"
	"os"

	"github.com/bulkhead-dev/bulkhead/internal/cli"
	"github.com/bulkhead-dev/bulkhead/internal/console"
)

// There are no sandboxes on this system, and so one binary is enough.
func main() {
	os.Exit(cli.Main(context.Background(), os.Args[1:], console.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
