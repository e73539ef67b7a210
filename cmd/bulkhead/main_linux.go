// Command bulkhead decides which isolation boundary an LLM workload needs,
// runs untrusted code behind one on this machine, and proves that it is there.
// It links what sandboxes need; for all else it becomes bulkhead-decide.
package main

import (
	"context"
	"os"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/sandboxcli"
)

func main() {
	os.Exit(sandboxcli.Main(context.Background(), os.Args[1:], console.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}
