package sandbox

import "context"

// PodEngine is an engine whose sandboxes can hold several containers: each with
// a root file system, users, processes and an environment of its own, and a guest
// agent that speaks over a stream of its own. They share the boundary, its kernel
// and its limits, the network (loopback alone), and the folders of Pod.Shared.
type PodEngine interface {
	Engine
	// BootPod boots a sandbox as Boot does. spec is the sandbox itself: its guest
	// agent can see every process of the containers, so nothing that belongs to
	// one of them may run in it.
	BootPod(ctx context.Context, spec Spec, pod Pod) (PodSandbox, error)
}

// PodSandbox is a sandbox that containers join. Its end is theirs.
type PodSandbox interface {
	Sandbox
	// Join starts a container. spec's ID is its name, and its limits can only be
	// PIDs: the others are the sandbox's. On error nothing of it is left. ctx
	// bounds the start, not the container's life. The container's Close ends
	// its processes and leaves the sandbox and the others as they are.
	Join(ctx context.Context, spec Spec) (Sandbox, error)
}

// MaxContainers is how many containers can join a sandbox.
const MaxContainers = 64

// Pod is what has to be known of a sandbox's containers when it boots.
type Pod struct {
	// Containers is how many may join, one to MaxContainers.
	Containers int
	// Shared are folders in memory that several containers may mount, by a Tmpfs
	// that names one.
	Shared []Shared
}

// Shared is an empty folder in memory for several containers.
type Shared struct {
	// Name tells it from others: see ValidID.
	Name string
	// Mode is the folder's permission bits, such as 0o777.
	Mode uint32
	// SizeBytes bounds what it holds.
	SizeBytes int64
	// User owns the folder.
	User User
}
