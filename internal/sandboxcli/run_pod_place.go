//go:build linux

package sandboxcli

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// podRoot opens the root file system of a pod, which its containers share, and
// completes their commands by what it says.
func (f runFlags) podRoot(ctx context.Context, s console.Streams, p *pod.Pod) (*rootfs, error) {
	root, err := f.containerRoot(ctx, s, p.Containers[0])
	if err != nil {
		return nil, err
	}
	for i := range p.Containers {
		if err := root.complete(p, &p.Containers[i]); err != nil {
			root.close()
			return nil, err
		}
	}
	return root, nil
}

// containerRoot opens the root file system that a container asks for.
func (f runFlags) containerRoot(ctx context.Context, s console.Streams, c pod.Container) (*rootfs, error) {
	// The kubelet's pull policy, except that a tag latest is not asked for each time.
	pull := map[pod.Pull]string{pod.PullAlways: "always", pod.PullNever: "never"}[c.Pull]
	return openRoot(ctx, s, source{ref: cmp.Or(f.image, c.Image), pull: cmp.Or(f.pull, pull)})
}

// complete completes the command of a container that has this root file system.
func (r *rootfs) complete(p *pod.Pod, c *pod.Container) error {
	if len(c.Command) == 0 {
		c.Command, c.Args = r.command(c.Args), nil
	}
	c.Dir = cmp.Or(c.Dir, r.dir)
	if len(c.Command) == 0 {
		return fault.WithHint(fmt.Errorf("pod %s cannot be run here: container %s leaves the command to its image, which has none", p.Name, c.Name), "give the command after --")
	}
	return nil
}

// podPlace completes the sandbox, or one of its containers, by what the manifest
// says.
func (f runFlags) podPlace(s console.Streams, spec *sandbox.Spec, p *pod.Pod, own pod.Own) error {
	if err := podUser(spec, p, own.Security); err != nil {
		return err
	}
	if own.Security.ReadOnlyRoot {
		spec.Tmpfs = nil
	}
	if p.Hostname != "" {
		spec.Hostname = p.Hostname
	}
	if len(p.HostAliases) > 0 {
		hosts := "127.0.0.1 localhost\n::1 localhost\n" + strings.Join(p.HostAliases, "\n") + "\n"
		spec.Contents = append(spec.Contents, sandbox.Content{Target: "/etc/hosts", Files: []sandbox.File{{Mode: 0o644, Data: []byte(hosts)}}})
	}
	for _, v := range own.Volumes {
		if hides(v.Target) {
			return fault.WithHint(fmt.Errorf("pod %s cannot be run here: volume %s at %s would hide what the sandbox is made of", p.Name, v.Name, v.Target), "mount it at a place of its own")
		}
		addVolume(spec, v)
	}
	mounts, err := f.mounts()
	if err != nil {
		return err
	}
	spec.Mounts = mounts
	noteUnwritable(s, spec)
	return nil
}

func addVolume(spec *sandbox.Spec, v pod.Volume) {
	var gid uint32
	if v.GID != nil {
		gid = *v.GID
	}
	if v.Scratch {
		folder := sandbox.Tmpfs{Target: v.Target, Shared: v.Shared, Mode: 0o777, SizeBytes: cmp.Or(v.SizeBytes, tmpfsBytes), User: sandbox.User{GID: gid}}
		spec.Tmpfs = slices.DeleteFunc(spec.Tmpfs, func(t sandbox.Tmpfs) bool { return path.Clean(t.Target) == v.Target })
		spec.Tmpfs = append(spec.Tmpfs, folder)
		return
	}
	c := sandbox.Content{Target: v.Target, GID: gid}
	for _, f := range v.Files {
		c.Files = append(c.Files, sandbox.File{Path: f.Path, Mode: f.Mode, Data: f.Data})
	}
	spec.Contents = append(spec.Contents, c)
}

// podUser takes the manifest's user and rights. What it leaves open is the root
// file system's user, which has no capability.
func podUser(spec *sandbox.Spec, p *pod.Pod, s pod.Security) error {
	before := spec.User
	if s.UID != nil {
		// As in Kubernetes: without a group of its own the user is in group 0.
		spec.User = sandbox.User{UID: *s.UID}
	}
	if s.GID != nil {
		spec.User.GID = *s.GID
	}
	for i := range spec.Tmpfs {
		if spec.Tmpfs[i].User == before { // the home folder and its like follow the user
			spec.Tmpfs[i].User = spec.User
		}
	}
	if s.NonRoot && spec.User.UID == 0 {
		return fault.WithHint(fmt.Errorf("pod %s cannot be run here: runAsNonRoot is set and its user is root", p.Name), "set securityContext.runAsUser to a number above 0")
	}
	spec.Groups, spec.PrivilegeEscalation = s.Groups, s.Escalation
	if spec.User.UID == 0 {
		spec.Capabilities = s.Capabilities
	}
	return nil
}
