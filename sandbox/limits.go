package sandbox

import (
	"errors"
	"fmt"
)

// MinPIDs is the lowest limit of processes. The guest agent and a command
// took 12 processes and threads on two processors; the agent's grow with them.
const MinPIDs = 32

// MinMemoryBytes is the lowest limit of memory. gVisor with a guest agent and a
// shell started in 24 MiB, and not in 16.
const MinMemoryBytes = 32 << 20

// MinMilliCPUs is the lowest limit of processor time: the kernel's own, one
// millisecond in each tenth of a second.
const MinMilliCPUs = 10

// maxMilliCPUs is more than there are in any machine.
const maxMilliCPUs = 1_000_000

// ErrLimit: a limit makes no sense, or cannot be held on this machine.
var ErrLimit = errors.New("limit not held")

// Limits bound what a sandbox takes from the host.
type Limits struct {
	// PIDs bounds processes and threads, the guest agent's (about ten)
	// included; 0: unbounded. Behind gVisor each user of the sandbox has that
	// many: a guest that may change its user can use several.
	PIDs int64
	// MemoryBytes bounds memory, what is written to folders in memory and what
	// the boundary itself needs included; 0: unbounded. Beyond it the kernel
	// kills processes of the sandbox, or the sandbox.
	MemoryBytes int64
	// MilliCPUs bounds the time on processors, in thousandths of one; 0: unbounded.
	MilliCPUs int64
}

// Validate refuses values that make no sense.
func (l Limits) Validate() error {
	if l.PIDs != 0 && l.PIDs < MinPIDs {
		return fmt.Errorf("%w: a sandbox needs at least %d processes and threads, the guest agent's included, not %d", ErrLimit, MinPIDs, l.PIDs)
	}
	if l.MemoryBytes != 0 && l.MemoryBytes < MinMemoryBytes {
		return fmt.Errorf("%w: a sandbox needs at least %d MiB of memory, not %d bytes", ErrLimit, MinMemoryBytes>>20, l.MemoryBytes)
	}
	if l.MilliCPUs != 0 && (l.MilliCPUs < MinMilliCPUs || l.MilliCPUs > maxMilliCPUs) {
		return fmt.Errorf("%w: a sandbox gets from %.2f to %d CPUs, not %.3f", ErrLimit, MinMilliCPUs/1000., maxMilliCPUs/1000, float64(l.MilliCPUs)/1000)
	}
	return nil
}

// Without returns l without the limit of this name.
func (l Limits) Without(name string) Limits {
	switch name {
	case LimitPIDs:
		l.PIDs = 0
	case LimitMemory:
		l.MemoryBytes = 0
	case LimitCPUs:
		l.MilliCPUs = 0
	}
	return l
}

// Unheld is a limit that an engine cannot hold here.
type Unheld struct {
	// Limit is the limit's name.
	Limit string
	// Err says why, wraps ErrLimit and carries a hint.
	Err error
}

// Check refuses limits that make no sense or that e cannot hold.
func Check(e Engine, l Limits) error {
	if err := l.Validate(); err != nil {
		return err
	}
	for _, u := range e.Unheld(l) {
		return u.Err
	}
	return nil
}

// Names of limits.
const (
	LimitPIDs   = "processes"
	LimitMemory = "memory"
	LimitCPUs   = "CPUs"
)
