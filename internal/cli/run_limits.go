//go:build linux

package cli

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// limitFlags are the flags of `bulkhead run` for a sandbox's limits.
type limitFlags struct {
	pids  int64
	flags *pflag.FlagSet
}

func (f *limitFlags) register(fl *pflag.FlagSet) {
	f.flags = fl
	fl.Int64Var(&f.pids, "pids-limit", 1024, "most processes and threads of the sandbox, the guest agent's ten included; 0: unbounded")
}

// of returns the limits of a sandbox of engine. What was asked for and cannot be
// held is an error; what is a default only is left out, and that is said.
func (f *limitFlags) of(s Streams, engine sandbox.Engine) (sandbox.Limits, error) {
	limits := sandbox.Limits{PIDs: f.pids}
	if err := limits.Validate(); err != nil {
		return limits, runUsage(err.Error(), "see `bulkhead run --help`")
	}
	for _, u := range engine.Unheld(limits) {
		if u.Limit == sandbox.LimitPIDs && !f.flags.Changed("pids-limit") {
			limits.PIDs = 0
			fmt.Fprintf(s.Err, "bulkhead: processes are not limited: %v\n", u.Err)
			continue
		}
		return limits, fault.WithCode(u.Err, fault.Internal)
	}
	return limits, nil
}
