// Package oci turns a sandbox.Spec into an OCI bundle, which every engine on
// top of an OCI runtime shares.
package oci

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// Runtime is what of a bundle depends on the runtime and the machine.
type Runtime struct {
	// Network is the path of a network namespace to join; empty: a new one
	// without any device.
	Network string
	// HostUID and HostGID, when MapUser is set, are what root in a user
	// namespace of the container's own stands for on the host.
	MapUser          bool
	HostUID, HostGID uint32
	// OwnKernel: the container's system calls are answered by a kernel of its
	// own, which counts its processes itself and needs no cgroup for it.
	OwnKernel bool
	// EROFS: the runtime mounts an EROFS image as root file system, as gVisor's
	// annotations ask for it.
	EROFS bool
	// CgroupsPath is the container's group, relative to where the runtime is;
	// empty: the runtime's choice.
	CgroupsPath string
	// SwapLimited: the kernel counts swap, and a limit of memory includes it.
	SwapLimited bool
	// Shared are the folders that containers of the sandbox may share, as gVisor's
	// annotations announce them.
	Shared []sandbox.Shared
	// Joins is the id of the sandbox that the container joins, as gVisor's
	// annotations say it; empty: it is a sandbox of its own.
	Joins string
}

// Spec returns the runtime configuration for s.
func Spec(s sandbox.Spec, r Runtime) *specs.Spec {
	hostname := s.Hostname
	if hostname == "" {
		hostname = s.ID
	}
	spec := &specs.Spec{
		Version: "1.0.2",
		Process: &specs.Process{
			Args: s.Agent,
			Env:  s.Env,
			Cwd:  "/",
			User: specs.User{UID: s.User.UID, GID: s.User.GID, AdditionalGids: s.Groups},
			Capabilities: &specs.LinuxCapabilities{
				Bounding: s.Capabilities, Effective: s.Capabilities, Permitted: s.Capabilities,
			},
			NoNewPrivileges: !s.PrivilegeEscalation,
		},
		Root:     &specs.Root{Path: s.Root.Dir, Readonly: true},
		Hostname: hostname,
		Mounts:   mounts(s, r),
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace},
				{Type: specs.NetworkNamespace, Path: r.Network},
			},
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
				"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	spec.Annotations = annotations(s, r)
	limit(spec, s.Limits, r)
	if r.MapUser {
		spec.Linux.Namespaces = append(spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		spec.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: r.HostUID, Size: 1}}
		spec.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: r.HostGID, Size: 1}}
		// Only root exists in the namespace; it is the caller on the host, and
		// has none of root's capabilities.
		spec.Process.User = specs.User{}
	}
	return spec
}

func mounts(s sandbox.Spec, r Runtime) []specs.Mount {
	pts := []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"}
	if !r.MapUser {
		pts = append(pts, "gid=5")
	}
	out := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=64k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: pts},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
	}
	if !r.MapUser {
		out = append(out, specs.Mount{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}})
	}
	for _, m := range s.Root.Binds {
		out = append(out, bind(m))
	}
	for _, t := range s.Tmpfs {
		if t.Shared != "" {
			out = append(out, specs.Mount{Destination: t.Target, Type: "tmpfs", Source: sharedSource(t.Shared), Options: []string{"nosuid", "nodev"}})
			continue
		}
		out = append(out, specs.Mount{Destination: t.Target, Type: "tmpfs", Source: "tmpfs", Options: tmpfsOptions(t.Mode, t.SizeBytes, t.User, r)})
	}
	for _, m := range s.Mounts {
		out = append(out, bind(m))
	}
	return out
}

func tmpfsOptions(mode uint32, size int64, user sandbox.User, r Runtime) []string {
	opts := []string{"nosuid", "nodev", fmt.Sprintf("mode=%o", mode), fmt.Sprintf("size=%d", size)}
	if !r.MapUser {
		opts = append(opts, fmt.Sprintf("uid=%d", user.UID), fmt.Sprintf("gid=%d", user.GID))
	}
	return opts
}

func bind(m sandbox.Mount) specs.Mount {
	options := []string{"rbind", "nosuid", "nodev"}
	if m.Writable {
		options = append(options, "rw")
	} else {
		// rro, because ro leaves what is mounted below the source writable.
		options = append(options, "ro", "rro")
	}
	return specs.Mount{Destination: m.Target, Type: "bind", Source: m.Source, Options: options}
}

// WriteBundle writes a bundle for s into dir, which exists. Mounts without a
// source or a place are refused here, because runtimes word that badly, or make
// the place in folders that are not the sandbox's.
func WriteBundle(dir string, s sandbox.Spec, r Runtime) error {
	made, err := writeContents(filepath.Join(dir, "contents"), s.Contents)
	if err != nil {
		return err
	}
	s.Mounts = append(made, s.Mounts...)
	for _, m := range append(slices.Clone(s.Mounts), s.Root.Binds...) {
		if _, err := os.Stat(m.Source); err != nil {
			return fault.WithHint(fmt.Errorf("mounting at %s: %w", m.Target, err), "mount a file or folder that exists")
		}
	}
	root, err := prepareRoot(dir, s)
	if err != nil {
		return err
	}
	if root != s.Root.Dir {
		s.Root.Dir, s.Root.EROFS = root, "" // a copy, which has more
	}
	data, err := json.Marshal(Spec(s, r))
	if err != nil {
		return fmt.Errorf("encoding the bundle: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	return nil
}
