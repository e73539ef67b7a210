package coldstart

import (
	"encoding/json"
	"io"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"gvisor.dev/gvisor/pkg/cpuid"
	"gvisor.dev/gvisor/pkg/log"

	"github.com/bulkhead-dev/bulkhead/engine/gvisor/wire"
)

// Package variables are the first code of ours that runs: while gVisor's larger
// packages have yet to be initialized.
var looked = ahead(os.Args) //nolint:gochecknoglobals // begun before main, awaited by it

// ahead begins the start of the supervisor, or of one of its processes. It
// returns what is closed when lookInto is over.
func ahead(args []string) <-chan struct{} {
	done := make(chan struct{})
	own := Supervised(args)
	if !own && (len(args) < 2 || args[1] != wire.Verb) {
		close(done)
		return done
	}
	if own {
		// No line of a log is put together that nobody reads. Where gVisor's logs are
		// asked for, it sets level and target itself, later.
		log.SetTarget(log.GoogleEmitter{Writer: &log.Writer{Next: io.Discard}})
		log.SetLevel(log.Warning)
	}
	countTogether()
	go func() {
		defer close(done)
		lookInto(args[0])
	}()
	return done
}

// lookInto does beside the rest of the start what gVisor would do in the midst of
// it, once for a process: package json looks into the type of a bundle's
// configuration; package os tries with a child whether the kernel has descriptors
// of processes; and the sentry asks the processor for its features, which on a
// virtual machine each time asks the hypervisor. process is what gVisor calls it.
// Use waits for it: gVisor's seccomp filters kill a process that does these things
// later.
func lookInto(process string) {
	if process == "runsc-sandbox" {
		cpuid.Initialize()
	}
	_ = json.Unmarshal([]byte("{}"), &specs.Spec{}) // which it is
	if process == "runsc-gofer" {
		return // it starts none
	}
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Release()
	}
}
