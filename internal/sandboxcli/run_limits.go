//go:build linux

package sandboxcli

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// Values of --limits.
const (
	strictLimits     = "strict"
	bestEffortLimits = "best-effort"
)

// limitFlags are the flags of `bulkhead run` for a sandbox's limits.
type limitFlags struct {
	pids   int64
	memory string
	cpus   float64
	disk   string
	output string
	mode   string
	flags  *pflag.FlagSet
}

func (f *limitFlags) register(cmd *cobra.Command) {
	f.flags = cmd.Flags()
	f.flags.StringVarP(&f.memory, "memory", "m", "", "most memory of the sandbox, what it writes to /tmp and home included (512m, 2g)")
	f.flags.Float64Var(&f.cpus, "cpus", 0, "most processors' time, such as 1.5")
	f.flags.Int64Var(&f.pids, "pids-limit", 1024, "most processes and threads of the sandbox, the guest agent's ten included; 0: unbounded")
	f.flags.StringVar(&f.disk, "disk", "512m", "most that each writable folder holds (/tmp, home and their like, which are in memory)")
	f.flags.StringVar(&f.output, "output-limit", "", "most output of the command (64m, 1g): beyond it the command is killed (default: unbounded)")
	f.flags.StringVar(&f.mode, "limits", strictLimits, "limits that cannot be held here: strict refuses to run, best-effort says so and runs")
	_ = cmd.RegisterFlagCompletionFunc("limits", cobra.FixedCompletions([]string{strictLimits, bestEffortLimits}, cobra.ShellCompDirectiveNoFileComp))
}

// of returns the limits of a sandbox of engine: the flags' and, where there is
// none, the manifest's. What was asked for and cannot be held is an error unless
// the user takes the best effort; a default is left out. Both are said.
func (f *limitFlags) of(s console.Streams, engine sandbox.Engine, manifest pod.Limits) (sandbox.Limits, error) {
	limits, err := f.asked(s, manifest)
	if err == nil {
		err = limits.Validate()
	}
	if err != nil {
		return limits, runUsage(err.Error(), "see `bulkhead run --help`")
	}
	for _, u := range engine.Unheld(limits) {
		isDefault := u.Limit == sandbox.LimitPIDs && !f.flags.Changed("pids-limit")
		if f.mode != bestEffortLimits && !isDefault {
			return limits, fault.WithCode(u.Err, fault.Internal)
		}
		limits = limits.Without(u.Limit)
		fmt.Fprintf(s.Err, "bulkhead: %v\n", u.Err)
	}
	return limits, nil
}

// asked are the limits that flags and manifest ask for.
func (f *limitFlags) asked(s console.Streams, manifest pod.Limits) (sandbox.Limits, error) {
	limits := sandbox.Limits{PIDs: f.pids}
	if f.mode != strictLimits && f.mode != bestEffortLimits {
		return limits, fmt.Errorf("--limits %q is not %s or %s", f.mode, strictLimits, bestEffortLimits)
	}
	for _, name := range slices.Sorted(maps.Keys(manifest)) {
		switch name {
		case pod.Memory:
			limits.MemoryBytes = manifest[name]
		case pod.CPU:
			limits.MilliCPUs = manifest[name]
		default:
			fmt.Fprintf(s.Err, "bulkhead: the manifest's limit of %s is not applied here\n", printable.Lines(name))
		}
	}
	if f.flags.Changed("memory") {
		n, err := size("memory", f.memory)
		if err != nil {
			return limits, err
		}
		limits.MemoryBytes = n
	}
	if f.flags.Changed("cpus") {
		if !(f.cpus > 0 && f.cpus < math.MaxInt32) {
			return limits, fmt.Errorf("--cpus %v is no number of processors", f.cpus)
		}
		limits.MilliCPUs = int64(math.Round(f.cpus * 1000))
	}
	return limits, nil
}

// minDisk is the lowest limit of a folder: a few files of one page each.
const minDisk = 64 << 10

// bound sets the limits that no cgroup holds: folders are bounded by their own
// size, output by who reads it. folders are the sizes of those that the sandbox
// has beside its own.
func (f *limitFlags) bound(req *runner.Request, folders ...*int64) error {
	disk, err := size("disk", f.disk)
	if err == nil && disk < minDisk {
		err = fmt.Errorf("--disk %q is less than %d KiB, too little for a folder", f.disk, minDisk>>10)
	}
	if err == nil && f.flags.Changed("output-limit") {
		req.OutputBytes, err = size("output-limit", f.output)
	}
	if err != nil {
		return runUsage(err.Error(), "see `bulkhead run --help`")
	}
	for i := range req.Spec.Tmpfs {
		folders = append(folders, &req.Spec.Tmpfs[i].SizeBytes)
	}
	for _, bytes := range folders {
		if *bytes == tmpfsBytes { // a manifest's own size stays
			*bytes = disk
		}
	}
	return nil
}

func size(flag, text string) (int64, error) {
	n, err := units.RAMInBytes(text)
	if err != nil || n <= 0 {
		return 0, fmt.Errorf("--%s %q is no size, such as 512m or 2g", flag, text)
	}
	return n, nil
}
