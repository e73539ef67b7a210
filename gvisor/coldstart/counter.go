package coldstart

import (
	"sync"
	_ "unsafe" // for go:linkname

	"gvisor.dev/gvisor/pkg/metric"
	_ "gvisor.dev/gvisor/pkg/sentry/kernel" // whose variables these are
)

// gVisor counts the system calls that it does not implement, by number: 2,000
// values that it makes when it starts, whatever it is started as. These are its
// note that they are made, the counter, and the value of all other numbers.
//
//nolint:gochecknoglobals // gVisor's own, under other names
var (
	//go:linkname counterMade gvisor.dev/gvisor/pkg/sentry/kernel.unimplementedSyscallCounterInit
	counterMade sync.Once
	//go:linkname counter gvisor.dev/gvisor/pkg/sentry/kernel.unimplementedSyscallCounter
	counter *metric.Uint64Metric
	//go:linkname otherNumber gvisor.dev/gvisor/pkg/sentry/kernel.outOfRangeSyscallNumber
	otherNumber []*metric.FieldValue
)

// countTogether has all of those system calls counted as one. The counter's name
// and description are gVisor's. gVisor makes its own with its table of system
// calls, when its packages are initialized, and before that it can be replaced.
func countTogether() {
	counterMade.Do(func() {
		counter = metric.MustCreateNewUint64Metric("/unimplemented_syscalls", metric.Uint64Metadata{
			Cumulative:  true,
			Sync:        true,
			Description: "Number of times the application tried to call an unimplemented syscall, broken down by syscall number",
			Fields:      []metric.Field{metric.NewField("sysno", otherNumber...)},
		})
	})
}
