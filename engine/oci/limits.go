package oci

import (
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// cpuPeriod is the time in microseconds in which a share of a CPU is counted:
// the kernel's own choice.
const cpuPeriod = 100_000

// limit writes a sandbox's limits into its configuration.
func limit(spec *specs.Spec, l sandbox.Limits, r Runtime) {
	spec.Linux.CgroupsPath = r.CgroupsPath
	var res specs.LinuxResources
	if l.PIDs > 0 && r.OwnKernel {
		n := uint64(l.PIDs)
		spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NPROC", Hard: n, Soft: n}}
	} else if l.PIDs > 0 {
		// On the host's kernel RLIMIT_NPROC counts a user's processes in all
		// sandboxes together; a cgroup counts this one's.
		res.Pids = &specs.LinuxPids{Limit: l.PIDs}
	}
	if l.MemoryBytes > 0 {
		res.Memory = &specs.LinuxMemory{Limit: &l.MemoryBytes}
		if r.SwapLimited {
			res.Memory.Swap = &l.MemoryBytes // memory and swap together
		}
	}
	if l.MilliCPUs > 0 {
		period, quota := uint64(cpuPeriod), l.MilliCPUs*cpuPeriod/1000
		res.CPU = &specs.LinuxCPU{Period: &period, Quota: &quota}
	}
	if res.Pids != nil || res.Memory != nil || res.CPU != nil {
		spec.Linux.Resources = &res
	}
}
