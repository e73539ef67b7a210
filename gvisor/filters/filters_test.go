package filters

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"syscall"
	"testing"

	"gvisor.dev/gvisor/pkg/bpf"
	"gvisor.dev/gvisor/pkg/seccomp"
	"gvisor.dev/gvisor/pkg/sentry/platform"
	_ "gvisor.dev/gvisor/pkg/sentry/platform/platforms"
	"gvisor.dev/gvisor/runsc/boot/filter"
	"gvisor.dev/gvisor/runsc/boot/filter/config"
	gofer "gvisor.dev/gvisor/runsc/fsgofer/filter"
	goferconfig "gvisor.dev/gvisor/runsc/fsgofer/filter/config"
)

// TestPrograms: what gVisor finds is what it would compile from its own rules,
// instruction by instruction. It fails when gVisor's version has changed them:
// run `go generate ./filters` then.
func TestPrograms(t *testing.T) {
	if len(programs()) == 0 {
		t.Skipf("no programs for %s", runtime.GOARCH)
	}
	if os.Getpid() != 1 {
		Use()
		if found := filter.ListPrecompiled(); len(found) != 0 {
			t.Errorf("programs are used in a process that is no sandbox: %v", found)
		}
		runAsFirst(t)
		return
	}
	Use()
	Use() // again: nothing of it is lost
	for _, name := range []string{"systrap", "kvm"} {
		constructor, err := platform.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, info := range constructor.PrecompiledSeccompInfo() {
			options := config.Options{Platform: info, HostFilesystem: true, ControllerFD: 17}
			program, found := filter.GetPrecompiled(options.ConfigKey())
			if !found {
				t.Errorf("no program for %s", options.ConfigKey())
				continue
			}
			got, err := program.RenderInstructions(options.Vars())
			if err != nil {
				t.Fatal(err)
			}
			if want := compile(t, options); !slices.Equal(got, want) {
				t.Errorf("%s: another program than gVisor compiles (%d instructions, want %d)", name, len(got), len(want))
			}
		}
	}
	testGofer(t)
}

func testGofer(t *testing.T) {
	t.Helper()
	options := goferconfig.Options{DirectFS: true}
	program, found := gofer.GetPrecompiled(options.ConfigKey())
	if !found {
		t.Fatalf("no program for %s", options.ConfigKey())
	}
	got, err := program.RenderInstructions(options.Vars())
	if err != nil {
		t.Fatal(err)
	}
	rules, denied := goferconfig.Rules(options)
	want := build(t, seccomp.Program{RuleSets: []seccomp.RuleSet{{Rules: denied}, {Rules: rules, Action: seccomp.Allow}}})
	if !slices.Equal(got, want) {
		t.Errorf("gofer: another program than gVisor compiles (%d instructions, want %d)", len(got), len(want))
	}
}

// runAsFirst runs the test again as the first process of a PID namespace.
func runAsFirst(t *testing.T) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWUSER}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("no user namespace here: %v", err)
	}
	if err != nil {
		t.Errorf("as the first process: %v\n%s", err, out)
	}
}

// compile does what filter.Install does without a program.
func compile(t *testing.T, options config.Options) []bpf.Instruction {
	t.Helper()
	rules, denied := config.Rules(options)
	return build(t, seccomp.Program{
		RuleSets: []seccomp.RuleSet{{Rules: denied}, {Rules: rules, Action: seccomp.Allow}},
		Options:  config.SeccompOptions(options),
	})
}

func build(t *testing.T, program seccomp.Program) []bpf.Instruction {
	t.Helper()
	instructions, _, err := program.Build()
	if err != nil {
		t.Fatal(err)
	}
	return instructions
}
