package main

import (
	"fmt"
	"maps"
	"slices"
	_ "unsafe" // for go:linkname

	"gvisor.dev/gvisor/pkg/seccomp"
	"gvisor.dev/gvisor/pkg/seccomp/precompiledseccomp"
	"gvisor.dev/gvisor/pkg/sentry/platform"
	_ "gvisor.dev/gvisor/pkg/sentry/platform/platforms" // whose system calls the programs allow
	"gvisor.dev/gvisor/runsc/boot/filter/config"
	gofer "gvisor.dev/gvisor/runsc/fsgofer/filter/config"
)

// rules are gVisor's. config.PrecompiledPrograms compiles hundreds of programs
// from them, which takes minutes; Bulkhead needs two.
//
//go:linkname rules gvisor.dev/gvisor/runsc/boot/filter/config.rules
func rules(config.Options, precompiledseccomp.Values) (seccomp.SyscallRules, seccomp.SyscallRules)

// compile returns the programs for how Bulkhead runs sandboxes: without the
// host's network and devices.
func compile() ([]precompiledseccomp.Program, error) {
	var programs []precompiledseccomp.Program
	for _, name := range []string{"systrap", "kvm"} {
		constructor, err := platform.Lookup(name)
		if err != nil {
			return nil, err
		}
		for _, info := range constructor.PrecompiledSeccompInfo() {
			options := config.Options{Platform: info, HostFilesystem: true}
			variables := slices.Collect(maps.Keys(options.Vars()))
			program, err := precompiledseccomp.Precompile(options.ConfigKey(), variables, func(v precompiledseccomp.Values) *seccomp.Program {
				allowed, denied := rules(options, v)
				return &seccomp.Program{
					RuleSets: []seccomp.RuleSet{{Rules: denied.Copy()}, {Rules: allowed.Copy(), Action: seccomp.Allow}},
					Options:  config.SeccompOptions(options),
				}
			})
			if err != nil {
				return nil, fmt.Errorf("compiling for %s: %w", options.ConfigKey(), err)
			}
			programs = append(programs, program)
		}
	}
	return programs, nil
}

//go:linkname goferRules gvisor.dev/gvisor/runsc/fsgofer/filter/config.rules
func goferRules(gofer.Options, precompiledseccomp.Values) (seccomp.SyscallRules, seccomp.SyscallRules)

// compileGofer returns the gofer's program, for a sentry that opens files itself.
func compileGofer() ([]precompiledseccomp.Program, error) {
	options := gofer.Options{DirectFS: true}
	variables := slices.Collect(maps.Keys(options.Vars()))
	program, err := precompiledseccomp.Precompile(options.ConfigKey(), variables, func(v precompiledseccomp.Values) *seccomp.Program {
		allowed, denied := goferRules(options, v)
		return &seccomp.Program{RuleSets: []seccomp.RuleSet{{Rules: denied.Copy()}, {Rules: allowed.Copy(), Action: seccomp.Allow}}}
	})
	if err != nil {
		return nil, fmt.Errorf("compiling for %s: %w", options.ConfigKey(), err)
	}
	return []precompiledseccomp.Program{program}, nil
}
