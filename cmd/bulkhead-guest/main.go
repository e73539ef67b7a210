// Command bulkhead-guest is the guest agent: the first process in a sandbox. It
// speaks to the host over its standard input and output, and ends with them.
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
