//go:build linux

// Package gvisor is the engine that boots gVisor sandboxes: a kernel in user
// space (the sentry) answers the guest's system calls. It needs neither root,
// KVM nor a cluster, and no binary but bulkhead-runsc.
package gvisor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/engine/cgroup"
	"github.com/bulkhead-dev/bulkhead/engine/folder"
	"github.com/bulkhead-dev/bulkhead/engine/oci"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// Config says what the engine works with.
type Config struct {
	// Supervisor is the path of bulkhead-runsc.
	Supervisor string
	// StateDir is a folder of the caller's own (mode 0700) for bundles and state.
	StateDir string
	// Platform is how gVisor runs the guest's code: Systrap (the default) or KVM.
	Platform string
	// DebugLog is a folder for gVisor's debug logs; empty: none are written.
	DebugLog string
}

// Platforms.
const (
	// Systrap needs nothing of the machine.
	Systrap = "systrap"
	// KVM needs a /dev/kvm that works.
	KVM = "kvm"
)

// Engine boots gVisor sandboxes.
type Engine struct {
	config   Config
	rootless bool
	// parkAfter is how long after its start a supervisor parks that has nothing to do
	// but to wait: it gives back its memory. What runs shorter does not pay for that.
	parkAfter time.Duration
	kvmRan    atomic.Bool // a program ran under kvm: that is not tried again
}

// New returns the engine. It does no I/O: Probe says whether it can work here.
func New(c Config) *Engine {
	c.Platform = cmp.Or(c.Platform, Systrap)
	return &Engine{config: c, rootless: os.Geteuid() != 0, parkAfter: 3 * time.Second}
}

// Name returns "gvisor".
func (e *Engine) Name() string { return "gvisor" }

// Boundary returns UserKernel.
func (e *Engine) Boundary() boundary.Boundary { return boundary.UserKernel }

// Platform is how gVisor runs the guest's code: Systrap or KVM.
func (e *Engine) Platform() string { return e.config.Platform }

// Probe reports whether a sandbox can be booted: the supervisor is there, for a
// user without root, user namespaces are, and KVM works where it was asked for.
func (e *Engine) Probe(ctx context.Context) error {
	if e.config.Supervisor == "" {
		return fault.WithHint(fmt.Errorf("engine gvisor: bulkhead-runsc not found: %w", sandbox.ErrUnavailable),
			"put bulkhead-runsc beside the bulkhead binary or on PATH (`make build` puts both into bin/)")
	}
	if info, err := os.Stat(e.config.Supervisor); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
		return fault.WithHint(fmt.Errorf("engine gvisor: %s is not an executable file: %w", e.config.Supervisor, sandbox.ErrUnavailable),
			"build it with `make build`")
	}
	if e.rootless {
		if err := e.probeUserNamespaces(ctx); err != nil {
			return err
		}
	}
	if e.config.Platform == KVM {
		return e.probeKVM(ctx)
	}
	return nil
}

// probeUserNamespaces makes one as Boot would. The supervisor only says its
// version in it: what this process's own binary does is not known here.
func (e *Engine) probeUserNamespaces(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, e.config.Supervisor, "--version")
	cmd.SysProcAttr = userNamespace()
	if err := cmd.Run(); err != nil {
		return fault.WithHint(fmt.Errorf("engine gvisor: no user namespace for an unprivileged user here (%w): %w", err, sandbox.ErrUnavailable),
			"allow them (sysctl kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0, on Ubuntu kernel.apparmor_restrict_unprivileged_userns=0), or run as root")
	}
	return nil
}

// Unheld returns the limits that need a cgroup where none can be had. The sentry
// counts processes itself.
func (e *Engine) Unheld(l sandbox.Limits) []sandbox.Unheld {
	return cgroup.Unheld(sandbox.Limits{MemoryBytes: l.MemoryBytes, MilliCPUs: l.MilliCPUs})
}

// needsCgroup: the sentry can count processes, but it cannot bound itself.
func needsCgroup(l sandbox.Limits) bool { return l.MemoryBytes > 0 || l.MilliCPUs > 0 }

// Boot starts a supervisor, which boots the sandbox.
func (e *Engine) Boot(ctx context.Context, spec sandbox.Spec) (sandbox.Sandbox, error) {
	s, err := e.take(ctx, spec, sandbox.Pod{})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// BootPod boots a sandbox that containers may join.
func (e *Engine) BootPod(ctx context.Context, spec sandbox.Spec, pod sandbox.Pod) (sandbox.PodSandbox, error) {
	if pod.Containers < 1 || pod.Containers > sandbox.MaxContainers {
		return nil, fmt.Errorf("booting a sandbox: %d containers, and it can hold 1 to %d", pod.Containers, sandbox.MaxContainers)
	}
	for _, f := range pod.Shared {
		if !sandbox.ValidID(f.Name) {
			return nil, fmt.Errorf("booting a sandbox: %q is not a valid name of a folder", f.Name)
		}
	}
	s, err := e.take(ctx, spec, pod)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// take boots a sandbox in a folder of its own.
func (e *Engine) take(ctx context.Context, spec sandbox.Spec, pod sandbox.Pod) (*running, error) {
	if !sandbox.ValidID(spec.ID) {
		return nil, fmt.Errorf("booting a sandbox: %q is not a valid id", spec.ID)
	}
	if err := sandbox.Check(e, spec.Limits); err != nil {
		return nil, fmt.Errorf("booting a sandbox: %w", err)
	}
	// What somebody else left is no reason to refuse; `bulkhead gc` says it.
	_ = e.Sweep(ctx)
	own, err := folder.Take(e.config.StateDir, e.Name(), spec.ID)
	if err != nil {
		return nil, err
	}
	s, err := e.boot(ctx, own, spec, pod)
	if err != nil {
		return nil, errors.Join(err, own.Remove())
	}
	return s, nil
}

// Sweep cleans up after sandboxes whose engine and supervisor were killed.
func (e *Engine) Sweep(context.Context) error {
	return folder.Sweep(e.config.StateDir, e.Name(), e.clean)
}

// clean ends and removes what a supervisor that was killed left of a sandbox.
func (e *Engine) clean(dir, id string) error {
	if err := folder.Kill(e.config.Supervisor, dir); err != nil {
		return err
	}
	if e.rootless {
		return nil
	}
	return cgroup.Remove(id)
}

func (e *Engine) boot(ctx context.Context, own *folder.Folder, spec sandbox.Spec, pod sandbox.Pod) (*running, error) {
	r := oci.Runtime{OwnKernel: true, EROFS: true, Shared: pod.Shared}
	if needsCgroup(spec.Limits) {
		r.CgroupsPath, r.SwapLimited = cgroup.Path(spec.ID), cgroup.SwapLimited()
	}
	s, err := startSupervisor(e.command(own.Dir, spec, pod.Containers), spec.ID, own, e.clean)
	if err != nil {
		return nil, err
	}
	// It takes longer to start than the bundle does to be written.
	if err = oci.WriteBundle(own.Dir, spec, r); err == nil {
		s.begin()
		err = s.awaitStart(ctx)
	}
	go s.watch()
	if err != nil {
		return nil, errors.Join(err, s.abandon(), s.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// command is the exact host command that boots a sandbox.
func (e *Engine) command(dir string, spec sandbox.Spec, containers int) *exec.Cmd {
	args := []string{"supervise", "--bundle", dir, "--id", spec.ID, "--state", filepath.Join(dir, "state"), "--platform", e.config.Platform}
	if needsCgroup(spec.Limits) {
		args = append(args, "--cgroups")
	}
	if e.rootless {
		args = append(args, "--rootless")
	}
	if containers > 0 {
		args = append(args, "--containers", strconv.Itoa(containers))
	} else {
		args = append(args, "--park-after", e.parkAfter.String())
	}
	if e.config.DebugLog != "" {
		args = append(args, "--debug-log", e.config.DebugLog)
	}
	cmd := exec.Command(e.config.Supervisor, args...) //nolint:noctx // it lives as long as its lifeline, not as long as the call that boots it
	// Nothing of the caller's environment reaches a process of the sandbox.
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if e.rootless {
		cmd.SysProcAttr = userNamespace()
	} else {
		cmd.SysProcAttr = ownGroup()
	}
	return cmd
}
