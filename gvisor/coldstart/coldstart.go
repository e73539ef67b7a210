// Package coldstart leaves out of a sandbox's start what a sandbox of
// `bulkhead run` has no use for. gVisor starts its processes as runsc; those
// that the supervisor started know it by a flag that runsc hands on to them.
// Every other use of runsc is as upstream's.
package coldstart

import (
	"slices"
	"strings"
	"sync"
	_ "unsafe" // for go:linkname

	_ "gvisor.dev/gvisor/pkg/sentry/seccheck" // whose variable tracePoints is
)

// Flag and Value are how the supervisor marks its processes: of all commands,
// gVisor's own logs leave out one that runsc does not have.
const (
	Flag  = "debug-command"
	Value = "!supervise"
)

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
// no trace points are registered: a list that is only read when a trace session
// is made, which then finds none. A configuration that asks for a session gets them.
func Use(args []string) {
	if !Supervised(args) || slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, "--pod-init-config") }) {
		return
	}
	tracePoints.Do(func() {})
}
