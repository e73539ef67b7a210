// Package sandbox is the domain of running: what a sandbox is made from (Spec),
// who makes one (Engine) and what one is (Sandbox).
//
// An engine boots a boundary and hands out one byte stream into it. At the
// other end of the stream is the guest agent, the first process inside. All
// else (running commands, files, ports, egress) is spoken over that stream by
// package agent, in the same way behind every boundary.
//
// Life of a sandbox: Boot returns when the boundary is up and the guest agent
// was started. It runs until the guest agent ends, the boundary breaks or Close
// is called; then Done is closed. Close destroys what is left and returns when
// no process, mount, cgroup or folder of the sandbox remains. A sandbox never
// outlives the process that booted it.
//
// The package does no I/O.
package sandbox

import (
	"context"
	"errors"
	"io"
	"regexp"

	"github.com/bulkhead-dev/bulkhead/boundary"
)

// Engine boots sandboxes behind one kind of boundary. It is safe for
// concurrent use.
type Engine interface {
	// Name is the engine's name in flags and reports: gvisor, runc.
	Name() string
	// Boundary is what the engine's sandboxes stand behind. It is a claim
	// until the guest's identity was compared with the host's.
	Boundary() boundary.Boundary
	// Probe reports whether the engine can boot a sandbox here. The error
	// wraps ErrUnavailable, says what is missing, and carries a hint.
	Probe(ctx context.Context) error
	// Boot starts a sandbox. On error nothing of it is left. ctx bounds the
	// boot, not the sandbox's life.
	Boot(ctx context.Context, spec Spec) (Sandbox, error)
	// Unheld returns those of the limits that the engine cannot hold on this
	// machine for this user. Boot refuses a spec that has one.
	Unheld(l Limits) []Unheld
}

// Sandbox is one running boundary.
type Sandbox interface {
	// ID is the Spec's ID.
	ID() string
	// Stream is the byte stream to the guest agent, the same at each call.
	// What comes out of it is hostile.
	Stream() io.ReadWriteCloser
	// Done is closed when the guest agent ended or the boundary broke.
	Done() <-chan struct{}
	// Err says, once Done is closed, why the sandbox ended; nil when the guest
	// agent ended by itself or Close was called.
	Err() error
	// Close destroys the sandbox and waits until nothing of it is left. It is
	// idempotent. ctx bounds the wait; the destruction goes on.
	Close(ctx context.Context) error
}

// OOMCounter is a sandbox that outlives what the kernel kills in it.
type OOMCounter interface {
	// OOMKills returns how many of the sandbox's processes the kernel killed
	// because its limit of memory was reached.
	OOMKills() int
}

var (
	// ErrUnavailable: the engine cannot boot a sandbox on this machine.
	ErrUnavailable = errors.New("engine not available here")
	// ErrBoundary: the boundary asked for cannot be had, or was refuted. There
	// is no fallback to a weaker one.
	ErrBoundary = errors.New("boundary not met")
	// ErrMemory: the kernel ended the sandbox for its limit of memory.
	ErrMemory = errors.New("the sandbox was killed: it reached its limit of memory")
)

// Spec is what a sandbox is made from. The zero value of every field is the
// stricter choice.
type Spec struct {
	// ID names the sandbox: see ValidID.
	ID string
	// Root is the root file system.
	Root Root
	// Agent is the command of the guest agent, by its path inside Root.
	Agent []string
	// Env is the guest agent's environment (K=V). Nothing of the host's is added.
	Env []string
	// Mounts are folders and files of the host that the guest sees.
	Mounts []Mount
	// Contents are files that are made for this sandbox alone, read-only for the
	// guest. They lie in the sandbox's own folder on the host and go with it.
	Contents []Content
	// Tmpfs are empty writable folders in memory.
	Tmpfs []Tmpfs
	// User runs the guest agent and all it starts.
	User User
	// Groups are further groups of User, where the engine can give them (not to
	// an unprivileged caller's sandboxes on the host's own kernel).
	Groups []uint32
	// Capabilities that user has, by their Linux names (CAP_NET_RAW ...).
	Capabilities []string
	// PrivilegeEscalation lets set-user-ID programs and file capabilities work.
	PrivilegeEscalation bool
	// Limits bound what the sandbox takes from the host.
	Limits Limits
	// Hostname inside; empty: the ID.
	Hostname string
}

// Root is a prepared root file system on the host. It is shared between
// sandboxes and never written to.
type Root struct {
	// Dir is the absolute path of the folder.
	Dir string
	// EROFS is a file with what Dir has, as an EROFS image, for engines that
	// mount one faster than a folder; empty: there is none.
	EROFS string
	// Binds are folders of the host that complete the root file system,
	// read-only (the host's own toolchain).
	Binds []Mount
	// Hold is a file or folder of the host that is kept locked (flock, shared)
	// as long as the sandbox lives, so that nobody removes its root; empty: none.
	Hold string
}

// Mount is a folder or file of the host inside the sandbox.
type Mount struct {
	// Source is an absolute path on the host, Target one in the sandbox.
	Source, Target string
	// Writable lets the guest write to the host's folder.
	Writable bool
}

// Content is a file, or a folder of files, with what is in it.
type Content struct {
	// Target is an absolute path in the sandbox.
	Target string
	// GID is the group of the files in the sandbox. Root owns them.
	GID uint32
	// Files are what is below Target; a single one without a Path is Target itself.
	Files []File
}

// File is one file of a Content.
type File struct {
	// Path is below the content's target, without dots.
	Path string
	// Mode is the file's permission bits.
	Mode uint32
	Data []byte
}

// Tmpfs is an empty folder in memory.
type Tmpfs struct {
	// Target is an absolute path in the sandbox.
	Target string
	// Shared names a folder of the sandbox's Pod, which says the rest; empty: the
	// folder is this container's own.
	Shared string
	// Mode is the folder's permission bits, such as 0o1777.
	Mode uint32
	// SizeBytes bounds what it holds.
	SizeBytes int64
	// User owns the folder.
	User User
}

// User is a numeric user and group inside the sandbox.
type User struct {
	UID, GID uint32
}

var validID = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)

// ValidID reports whether id can name a sandbox: lower-case letters, digits and
// inner hyphens, at most 63 of them (a DNS label, as Kubernetes names are).
func ValidID(id string) bool { return len(id) <= 63 && validID.MatchString(id) }
