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
var _ = ahead(os.Args)

// ahead begins the start of the supervisor, or of one of its processes. It
// returns whether this is one.
func ahead(args []string) bool {
	own := Supervised(args)
	if !own && (len(args) < 2 || args[1] != wire.Verb) {
		return false
	}
	if own {
		// No line of a log is put together that nobody reads. Where gVisor's logs are
		// asked for, it sets level and target itself, later.
		log.SetTarget(log.GoogleEmitter{Writer: &log.Writer{Next: io.Discard}})
		log.SetLevel(log.Warning)
	}
	countTogether()
	go lookInto(own)
	return true
}

// lookInto does beside the rest of the start what gVisor would do in the midst of
// it, once for a process: package json looks into the type of a bundle's
// configuration; package os tries with a child whether the kernel has descriptors
// of processes; and the sentry asks the processor for its features, which on a
// virtual machine each time asks the hypervisor.
func lookInto(features bool) {
	if features {
		cpuid.Initialize()
	}
	_ = json.Unmarshal([]byte("{}"), &specs.Spec{}) // which it is
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Release()
	}
}
