package boundary

import "strings"

// Runtime is what runs a container on a node. Its name is Bulkhead's own; a
// node's containerd or CRI-O names it by a handler.
type Runtime string

// The runtimes that Bulkhead knows.
const (
	Runc            Runtime = "runc"
	Crun            Runtime = "crun"
	Sysbox          Runtime = "sysbox"
	Nvidia          Runtime = "nvidia"
	GVisor          Runtime = "gvisor"
	Kata            Runtime = "kata"
	KataFirecracker Runtime = "kata-fc"
	Firecracker     Runtime = "firecracker"
	QEMU            Runtime = "qemu"
)

// Runtimes returns every known runtime, weakest boundary first.
func Runtimes() []Runtime {
	return []Runtime{Runc, Crun, Sysbox, Nvidia, GVisor, Kata, KataFirecracker, Firecracker, QEMU}
}

// Boundary returns the boundary that the runtime gives, or false for a runtime
// that is not known: what is not known gives nothing that can be relied on.
func (r Runtime) Boundary() (Boundary, bool) {
	switch r {
	case Runc, Crun, Sysbox, Nvidia:
		return SharedKernel, true
	case GVisor:
		return UserKernel, true
	case Kata, KataFirecracker, Firecracker, QEMU:
		return VirtualMachine, true
	}
	return 0, false
}

// RuntimeForHandler returns the runtime behind a RuntimeClass handler, or false
// for a handler that is not known. Only the handler counts: the name of the
// RuntimeClass object says nothing about what runs on the node.
func RuntimeForHandler(handler string) (Runtime, bool) {
	h := strings.ToLower(handler)
	switch h {
	case "runc":
		return Runc, true
	case "crun", "youki":
		return Crun, true
	case "sysbox", "sysbox-runc":
		return Sysbox, true
	case "nvidia", "nvidia-cdi", "nvidia-legacy":
		return Nvidia, true
	case "runsc", "gvisor", "runsc-gpu", "runsc-kvm", "runsc-systrap":
		return GVisor, true
	case "firecracker", "aws.firecracker", "containerd-firecracker":
		return Firecracker, true
	case "kata-fc", "kata-firecracker":
		return KataFirecracker, true
	case "kata", "kata-runtime":
		return Kata, true
	}
	if strings.HasPrefix(h, "kata-") {
		return Kata, true
	}
	return "", false
}
