//go:build !amd64

package filters

import "gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"

// programs: run `go generate` on a machine of the architecture to have them.
func programs() []precompiledseccomp.Program { return nil }

// goferPrograms: as programs.
func goferPrograms() []precompiledseccomp.Program { return nil }
