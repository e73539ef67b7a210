package sandbox

import (
	"errors"
	"fmt"
)

// MinPIDs is the lowest limit of processes. The guest agent and a command
// took 12 processes and threads on two processors; the agent's grow with them.
const MinPIDs = 32

// ErrLimit: a limit makes no sense, or cannot be held on this machine.
var ErrLimit = errors.New("limit not held")

// Limits bound what a sandbox takes from the host.
type Limits struct {
	// PIDs bounds processes and threads, the guest agent's (about ten)
	// included; 0: unbounded. Behind gVisor each user of the sandbox has that
	// many: a guest that may change its user can use several.
	PIDs int64
}

// Validate refuses values that make no sense.
func (l Limits) Validate() error {
	if l.PIDs != 0 && l.PIDs < MinPIDs {
		return fmt.Errorf("a sandbox needs at least %d processes and threads, the guest agent's included, not %d: %w", MinPIDs, l.PIDs, ErrLimit)
	}
	return nil
}

// Unheld is a limit that an engine cannot hold here.
type Unheld struct {
	// Limit is the limit's name: pids.
	Limit string
	// Err says why, wraps ErrLimit and carries a hint.
	Err error
}

// LimitPIDs names Limits.PIDs.
const LimitPIDs = "pids"
