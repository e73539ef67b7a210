//go:build linux

package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// maxManifestBytes bounds a manifest that is run.
const maxManifestBytes = 4 << 20

// podRequest turns a manifest into what to run: its class and the routes give
// the boundary, its only container the command.
func (f runFlags) podRequest(ctx context.Context, s Streams, args []string) (req runner.Request, root *rootfs, err error) {
	if f.user != "" {
		return req, nil, runUsage("-f and --user exclude each other", "the manifest says who runs: securityContext.runAsUser")
	}
	plan, err := f.plan(s)
	if err != nil {
		return req, nil, err
	}
	container, err := onlyContainer(plan.Pod)
	if err != nil {
		return req, nil, err
	}
	engine, err := f.chooseEngine(ctx, plan.Accepted)
	if err != nil {
		return req, nil, refused(plan, err)
	}
	if root, err = openRoot(ctx, s, f.podSource(container)); err != nil {
		return req, nil, err
	}
	if root.spec.Limits, err = f.limits.of(s, engine, container.Resources.Limits); err != nil {
		return req, root, err
	}
	cmd, err := f.podSpec(root, plan.Pod, container, args)
	if err != nil {
		return req, root, err
	}
	// Said each time, wherever the output goes: what runs is weaker than the
	// route, and somebody answers for it.
	if !engine.Boundary().Satisfies(plan.Required) {
		fmt.Fprintf(s.Err, "bulkhead: %s: %s instead of %s: %s\n", subject(plan), engine.Boundary(), plan.Required, printable(plan.Waiver))
	}
	return runner.Request{
		Place:     runner.Place{Engine: engine, Spec: root.spec, Minimum: plan.Accepted},
		Execution: runner.Execution{Command: cmd, Timeout: f.timeout},
	}, root, nil
}

// plan reads the manifest and the configuration, and decides.
func (f runFlags) plan(s Streams) (decide.Plan, error) {
	in, dir := s.In, "."
	if f.file != "-" {
		file, err := os.Open(f.file)
		if err != nil {
			return decide.Plan{}, usageError(fmt.Errorf("reading the manifest: %w", err), "give a file with one Pod: bulkhead run -f pod.yaml")
		}
		defer file.Close()
		in, dir = file, filepath.Dir(f.file)
	}
	text, err := io.ReadAll(io.LimitReader(in, maxManifestBytes+1))
	if err == nil && len(text) > maxManifestBytes {
		err = fmt.Errorf("it is larger than %d bytes", maxManifestBytes)
	}
	if err != nil {
		return decide.Plan{}, usageError(fmt.Errorf("reading %s: %w", f.file, err), "give a file with one Pod: bulkhead run -f pod.yaml")
	}
	path := f.config
	if path == "" {
		if path, err = config.Find(dir); err != nil {
			return decide.Plan{}, err
		}
	}
	cfg := config.Default()
	if path != "" {
		if cfg, err = config.ReadFile(path); err != nil {
			return decide.Plan{}, fault.WithCode(err, fault.Usage)
		}
	}
	return decide.NewPlan(f.file, text, cfg, time.Now())
}

func subject(plan decide.Plan) string { return plan.Row.Kind + "/" + printable(plan.Row.Name) }

// refused says what the workload is and what it would need.
func refused(plan decide.Plan, err error) error {
	names := make([]string, len(plan.Runtimes))
	for i, r := range plan.Runtimes {
		names[i] = string(r)
	}
	hint := fault.Hint(err)
	if plan.Accepted == plan.Required {
		hint = fmt.Sprintf("`bulkhead explain %s` says why; run it where a runtime of its route is (%s), or accept less for a time by a waiver with an owner in bulkhead.yaml",
			plan.Row.File, strings.Join(names, ", "))
	}
	return fault.WithHint(fmt.Errorf("%s is %s and needs %s (%s): %w", subject(plan), plan.Class, plan.Required, plan.Reason, err), hint)
}

// onlyContainer returns the container of a pod that has one, and refuses what
// is not run on one machine yet.
func onlyContainer(pod *corev1.Pod) (corev1.Container, error) {
	if n := len(pod.Spec.Containers) + len(pod.Spec.InitContainers); n != 1 || len(pod.Spec.Containers) != 1 {
		return corev1.Container{}, unsupported(pod, fmt.Sprintf("it has %d containers, init containers included", n), "run a pod with one container")
	}
	c := pod.Spec.Containers[0]
	if sc := c.SecurityContext; sc != nil && sc.Privileged != nil && *sc.Privileged {
		return c, unsupported(pod, "its container is privileged", "remove securityContext.privileged")
	}
	if pod.Spec.HostNetwork || pod.Spec.HostPID || pod.Spec.HostIPC {
		return c, unsupported(pod, "it shares a namespace with the host", "remove hostNetwork, hostPID and hostIPC")
	}
	return c, nil
}

func unsupported(pod *corev1.Pod, reason, hint string) error {
	return fault.WithHint(fmt.Errorf("pod %s cannot be run here: %s", printable(pod.Name), reason), hint)
}

// podSpec completes the sandbox by what the manifest says, and returns the command.
func (f runFlags) podSpec(root *rootfs, pod *corev1.Pod, c corev1.Container, args []string) (agent.Command, error) {
	spec := &root.spec
	cmd := agent.Command{Args: podCommand(root, c), Dir: cmp.Or(f.workdir, c.WorkingDir, root.dir)}
	if len(args) > 0 {
		cmd.Args = args
	}
	if len(cmd.Args) == 0 {
		return cmd, unsupported(pod, "its container leaves the command to its image, which has none", "give the command after --")
	}
	for _, e := range c.Env {
		if e.ValueFrom != nil {
			return cmd, unsupported(pod, fmt.Sprintf("variable %s comes from another object", printable(e.Name)), "values from other objects are not resolved yet; set it to a value")
		}
		cmd.Env = append(cmd.Env, e.Name+"="+e.Value)
	}
	if len(c.EnvFrom) > 0 {
		return cmd, unsupported(pod, "its variables come from other objects (envFrom)", "values from other objects are not resolved yet")
	}
	extra, err := parseEnv(f.env)
	if err != nil {
		return cmd, err
	}
	cmd.Env = append(cmd.Env, extra...)
	if pod.Spec.Hostname != "" {
		spec.Hostname = pod.Spec.Hostname
	}
	if err := podVolumes(spec, pod, c); err != nil {
		return cmd, err
	}
	if spec.Mounts, err = f.mounts(); err != nil {
		return cmd, err
	}
	return cmd, podUser(spec, pod, c)
}

// podSource is a container's image. Its pull policy is the kubelet's, except that
// a tag latest is not asked for each time.
func (f runFlags) podSource(c corev1.Container) source {
	pull := map[corev1.PullPolicy]string{corev1.PullAlways: "always", corev1.PullNever: "never"}[c.ImagePullPolicy]
	return source{ref: cmp.Or(f.image, c.Image), pull: cmp.Or(f.pull, pull)}
}

// podCommand is what a container runs: its command replaces the image's entry
// point, its args the image's.
func podCommand(root *rootfs, c corev1.Container) []string {
	if len(c.Command) > 0 {
		return slices.Concat(c.Command, c.Args)
	}
	return root.command(c.Args)
}

// podVolumes gives the sandbox the pod's empty folders.
func podVolumes(spec *sandbox.Spec, pod *corev1.Pod, c corev1.Container) error {
	for _, m := range c.VolumeMounts {
		for _, v := range pod.Spec.Volumes {
			if v.Name != m.Name {
				continue
			}
			if v.EmptyDir == nil {
				return unsupported(pod, fmt.Sprintf("volume %s at %s is not an emptyDir", printable(v.Name), printable(m.MountPath)), "remove it, or mount a folder yourself with -v")
			}
			size := int64(tmpfsBytes)
			if v.EmptyDir.SizeLimit != nil {
				size = min(size, v.EmptyDir.SizeLimit.Value())
			}
			spec.Tmpfs = append(spec.Tmpfs, sandbox.Tmpfs{Target: filepath.Clean(m.MountPath), Mode: 0o777, SizeBytes: size})
		}
	}
	return nil
}

// kubeletCapabilities are what a container runtime gives root when the
// manifest says nothing (containerd's default set).
func kubeletCapabilities() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
		"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
	}
}

// podUser takes the manifest's user and capabilities. What it leaves open is
// the root file system's user, which has no capability.
func podUser(spec *sandbox.Spec, pod *corev1.Pod, c corev1.Container) error {
	before := spec.User
	var uid, gid *int64
	var nonRoot *bool
	if sc := pod.Spec.SecurityContext; sc != nil {
		uid, gid, nonRoot = sc.RunAsUser, sc.RunAsGroup, sc.RunAsNonRoot
	}
	var caps corev1.Capabilities
	if sc := c.SecurityContext; sc != nil {
		if sc.RunAsUser != nil {
			uid = sc.RunAsUser
		}
		if sc.RunAsGroup != nil {
			gid = sc.RunAsGroup
		}
		if sc.RunAsNonRoot != nil {
			nonRoot = sc.RunAsNonRoot
		}
		if sc.Capabilities != nil {
			caps = *sc.Capabilities
		}
		spec.PrivilegeEscalation = sc.AllowPrivilegeEscalation != nil && *sc.AllowPrivilegeEscalation
	}
	if uid != nil {
		// As in Kubernetes: without a group of its own the user is in group 0.
		spec.User = sandbox.User{UID: uint32(*uid)}
	}
	if gid != nil {
		spec.User.GID = uint32(*gid)
	}
	for i := range spec.Tmpfs {
		if spec.Tmpfs[i].User == before { // the home folder and its like follow the user
			spec.Tmpfs[i].User = spec.User
		}
	}
	if nonRoot != nil && *nonRoot && spec.User.UID == 0 {
		return unsupported(pod, "runAsNonRoot is set and its user is root", "set securityContext.runAsUser to a number above 0")
	}
	for _, added := range caps.Add {
		if !slices.Contains(kubeletCapabilities(), capability(added)) {
			return unsupported(pod, "its container adds capability "+printable(string(added)), "remove it: only what a container runtime gives by default is given here")
		}
	}
	if spec.User.UID == 0 {
		spec.Capabilities = capabilities(kubeletCapabilities(), caps)
	}
	return nil
}

func capability(c corev1.Capability) string {
	return "CAP_" + strings.TrimPrefix(strings.ToUpper(string(c)), "CAP_")
}

// capabilities applies what a manifest drops and adds to a default set.
func capabilities(defaults []string, change corev1.Capabilities) []string {
	has := map[string]bool{}
	for _, c := range defaults {
		has[c] = true
	}
	for _, c := range change.Drop {
		if strings.EqualFold(string(c), "ALL") {
			clear(has)
		}
		delete(has, capability(c))
	}
	for _, c := range change.Add {
		has[capability(c)] = true
	}
	return slices.Sorted(maps.Keys(has))
}
