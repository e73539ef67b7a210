// Command bulkhead decides which isolation boundary an LLM workload needs,
// runs untrusted code behind one on this machine, and proves that it is there.
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
