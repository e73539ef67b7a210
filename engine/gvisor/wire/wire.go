// Package wire is what engine gvisor and the supervisor in bulkhead-runsc say
// to each other. The two are separate binaries of one build (and separate Go
// modules): the first event carries the version, and a difference ends the talk.
//
// The engine starts
//
//	bulkhead-runsc supervise --bundle DIR --id ID --state DIR --platform systrap|kvm [--cgroups] [--rootless] [--containers N | --park-after D]
//
// with the guest agent's byte stream on descriptors 0 and 1, which go to the
// container's init process as they are, so that no byte of the guest passes
// through the supervisor. Descriptor 3 is the lifeline: one byte on it says that
// the bundle is complete, for which the supervisor waits; when the engine closes
// it (or dies), the supervisor destroys the sandbox. On descriptor 4 the
// supervisor writes one JSON Event a line. LockFD is the lock of the sandbox's
// folder: as long as the supervisor lives, nobody else cleans up.
// Where containers may join the sandbox, requests come on ControlFD. Where none may,
// the supervisor parks some time after its start: the process, its descriptors and
// what it says stay the same.
package wire

// Verb is the first argument that turns bulkhead-runsc into the supervisor.
const Verb = "supervise"

// Descriptors that the supervisor inherits beside standard streams.
const (
	LifelineFD = 3
	EventsFD   = 4
	// ControlFD is a unix socket (SOCK_SEQPACKET) on which the engine sends one
	// Request a message.
	ControlFD = 5
	// LockFD is that high because a process starts with a table of descriptors
	// of the size of its parent's. The sentry needs descriptors up to 255, and
	// for a process with threads the kernel takes 8 ms to make the table larger.
	LockFD = 255
)

// Event kinds, in the order in which they come.
const (
	// Hello is the first event; it carries Version.
	Hello = "hello"
	// Started: the boundary is up and the guest agent was started in it.
	Started = "started"
	// Exited: the guest agent ended; it carries Status.
	Exited = "exited"
	// Failed: the sandbox could not be booted; it carries Message. It is the last event.
	Failed = "failed"
	// Left: something of the sandbox could not be removed; it carries Message.
	// It is the last event.
	Left = "left"
	// Destroyed: nothing of the sandbox is left. It is the last event.
	Destroyed = "destroyed"
)

// Event is one line that the supervisor writes.
type Event struct {
	Kind string `json:"kind"`
	// Container is the container that Exited and answers to requests are about;
	// empty: the sandbox itself.
	Container string `json:"container,omitempty"`
	// Version of the supervisor's build, in Hello.
	Version string `json:"version,omitempty"`
	// Runtime is the version of gVisor that is linked in, in Hello.
	Runtime string `json:"runtime,omitempty"`
	// Status is the guest agent's wait status, in Exited.
	Status int `json:"status,omitempty"`
	// OOMKilled: the kernel killed processes of the sandbox for its limit of
	// memory, in Exited.
	OOMKilled bool `json:"oomKilled,omitempty"`
	// Message is the error, in Failed, Left, Refused and Removed.
	Message string `json:"message,omitempty"`
}
