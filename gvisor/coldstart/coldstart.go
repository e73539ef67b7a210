// Package coldstart leaves out of a sandbox's start what a sandbox of
// `bulkhead run` has no use for. gVisor starts its processes as runsc; those
// that the supervisor started know it by a flag that runsc hands on to them.
// Every other use of runsc is as upstream's.
package coldstart

import (
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
	_ "unsafe" // for go:linkname

	_ "gvisor.dev/gvisor/pkg/sentry/seccheck" // whose variable tracePoints is
)

// Flag and Value are how the supervisor marks its processes: of all commands,
// gVisor's own logs leave out one that runsc does not have.
const (
	Flag  = "debug-command"
	Value = "!supervise"
)

// Settled is how long after its start a sandbox that goes on gives back memory.
const Settled = 3 * time.Second

// Supervised reports whether the command line is of a process that gVisor
// started for the supervisor: its sentry or gofer.
func Supervised(args []string) bool {
	return slices.Contains(args, "--"+Flag+"="+Value)
}

// tracePoints is gVisor's note that its trace points are registered.
//
//go:linkname tracePoints gvisor.dev/gvisor/pkg/sentry/seccheck.initOnce
var tracePoints sync.Once //nolint:gochecknoglobals // gVisor's own, under another name

// Use prepares a process with these arguments. In a sandbox of the supervisor's,
//   - no trace points are registered: a list that is only read when a trace session
//     is made, which then finds none. A configuration that asks for a session gets them;
//   - what the start left in the heap is given back to the system after a while, once.
//     Collected earlier it would cost time: new pages cost more than old ones.
func Use(args []string, after time.Duration) {
	if !Supervised(args) {
		return
	}
	if !slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--pod-init-config") }) {
		tracePoints.Do(func() {})
	}
	time.AfterFunc(after, debug.FreeOSMemory)
	<-looked
}
