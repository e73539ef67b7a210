// Command bulkhead-guest is the guest agent: the first process in a sandbox. It
// speaks to the host over its standard input and output, and ends with them.
//
// The runtime names no mappings and does not follow a cgroup's limit of processors:
// each takes system calls that delay the start of every sandbox.
//
//go:debug decoratemappings=0
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0
package main

import (
	"fmt"
	"os"

	"github.com/bulkhead-dev/bulkhead/internal/guest"
)

func main() {
	if err := guest.NewServer(os.Environ()).Serve(guest.Stdio()); err != nil {
		fmt.Fprintln(os.Stderr, "bulkhead-guest:", err)
		os.Exit(1)
	}
}
