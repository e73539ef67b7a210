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
	ref := cmp.Or(f.image, p.Containers[0].Image)
	for _, c := range p.Containers {
		if f.image == "" && c.Image != ref {
			return nil, fault.WithHint(fmt.Errorf("pod %s cannot be run here: its containers have different images, %s and %s, and share one root file system here", p.Name, ref, c.Image),
				"--image REF runs all of them in one root file system")
		}
	}
	// The kubelet's pull policy, except that a tag latest is not asked for each time.
	pull := map[pod.Pull]string{pod.PullAlways: "always", pod.PullNever: "never"}[p.Containers[0].Pull]
	root, err := openRoot(ctx, s, source{ref: ref, pull: cmp.Or(f.pull, pull)})
	if err != nil {
		return nil, err
	}
	for i := range p.Containers {
		c := &p.Containers[i]
		if len(c.Command) == 0 {
			c.Command, c.Args = root.command(c.Args), nil
		}
		c.Dir = cmp.Or(c.Dir, root.dir)
		if len(c.Command) == 0 {
			root.close()
			return nil, fault.WithHint(fmt.Errorf("pod %s cannot be run here: container %s leaves the command to its image, which has none", p.Name, c.Name), "give the command after --")
		}
	}
	return root, nil
}

// podPlace completes the sandbox by what the manifest says.
func (f runFlags) podPlace(s console.Streams, root *rootfs, p *pod.Pod) error {
	spec := &root.spec
	if err := podUser(spec, p); err != nil {
		return err
	}
	if p.Security.ReadOnlyRoot {
		spec.Tmpfs = nil
	}
	if p.Hostname != "" {
		spec.Hostname = p.Hostname
	}
	if len(p.HostAliases) > 0 {
		hosts := "127.0.0.1 localhost\n::1 localhost\n" + strings.Join(p.HostAliases, "\n") + "\n"
		spec.Contents = append(spec.Contents, sandbox.Content{Target: "/etc/hosts", Files: []sandbox.File{{Mode: 0o644, Data: []byte(hosts)}}})
	}
	for _, v := range p.Volumes {
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
		spec.Tmpfs = slices.DeleteFunc(spec.Tmpfs, func(t sandbox.Tmpfs) bool { return path.Clean(t.Target) == v.Target })
		spec.Tmpfs = append(spec.Tmpfs, sandbox.Tmpfs{Target: v.Target, Mode: 0o777, SizeBytes: cmp.Or(v.SizeBytes, tmpfsBytes), User: sandbox.User{GID: gid}})
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
func podUser(spec *sandbox.Spec, p *pod.Pod) error {
	before, s := spec.User, p.Security
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
