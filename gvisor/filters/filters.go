// Package filters gives gVisor's sentry and gofer their seccomp programs compiled.
// Upstream builds have them; in the Go module their place is empty, and each
// sandbox compiles its programs anew, which is a tenth of its start.
//
// The programs are gVisor's own, compiled by its own packages (go generate);
// tests compare them with what it would compile at run time.
package filters

import (
	"os"
	_ "unsafe" // for go:linkname

	"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"
	"gvisor.dev/gvisor/runsc/boot/filter"
	gofer "gvisor.dev/gvisor/runsc/fsgofer/filter"
)

//go:generate go run ./generate

// precompiled is where gVisor looks for a program. It has no way in but this.
//
//go:linkname precompiled gvisor.dev/gvisor/runsc/boot/filter.precompiledPrograms
var precompiled map[string]precompiledseccomp.Program //nolint:gochecknoglobals // gVisor's own, under another name

// goferPrecompiled is the gofer's own place.
//
//go:linkname goferPrecompiled gvisor.dev/gvisor/runsc/fsgofer/filter.precompiledPrograms
var goferPrecompiled map[string]precompiledseccomp.Program //nolint:gochecknoglobals // gVisor's own, under another name

// Use has gVisor use the programs in a process that becomes a sentry or gofer. That is
// the first one of its PID namespace, and a rule has its number as a constant.
// For options that no program is for, gVisor compiles one.
func Use() {
	if os.Getpid() != 1 {
		return
	}
	filter.ListPrecompiled() // makes the empty map, once
	for _, p := range programs() {
		precompiled[p.Name] = p
	}
	gofer.ListPrecompiled()
	for _, p := range goferPrograms() {
		goferPrecompiled[p.Name] = p
	}
}
