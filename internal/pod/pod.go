// Package pod is a Kubernetes pod as one sandbox runs it: plain data, which one
// process can hand to another. `internal/podspec` reads it out of a manifest.
package pod

import (
	"errors"
	"time"
)

// ErrTogether: the containers of a pod cannot share a root file system, a user
// and processes. They can run apart.
var ErrTogether = errors.New("the containers of the pod cannot share what one has")

// Pod is a pod as one sandbox runs it. Its containers share the sandbox's root
// file system, user and processes, or are apart.
type Pod struct {
	Name string `json:"name"`
	// Containers are the init containers in their order, then the others.
	Containers []Container `json:"containers"`
	// Default is the container that commands in the running pod mean unless they
	// name one.
	Default string `json:"default"`
	// Apart: each container has a root file system, a user and processes of its
	// own. Own says what else; Volumes and Security are empty.
	Apart    bool     `json:"apart,omitempty"`
	Volumes  []Volume `json:"volumes,omitempty"`
	Security Security `json:"security"`
	// Hostname inside; empty: the caller's choice.
	Hostname string `json:"hostname,omitempty"`
	// HostAliases are lines for /etc/hosts.
	HostAliases []string `json:"hostAliases,omitempty"`
	// Restart is what happens when a container ends; empty where the manifest
	// leaves it open.
	Restart Restart `json:"restart,omitempty"`
	// Grace is what containers have between SIGTERM and their end.
	Grace time.Duration `json:"grace"`
	// Deadline bounds the pod's life; 0: unbounded.
	Deadline time.Duration `json:"deadline,omitempty"`
	// Notes say what of the manifest is given differently or not at all.
	Notes []string `json:"notes,omitempty"`
}

// Restart is what happens when a container ends, in Kubernetes' words.
type Restart string

// The restart policies of a pod.
const (
	RestartAlways    Restart = "Always"
	RestartOnFailure Restart = "OnFailure"
	RestartNever     Restart = "Never"
)

// Role is when a container runs.
type Role string

const (
	// Init runs to its end before the next container starts.
	Init Role = "init"
	// Sidecar is an init container that goes on beside the main ones, and ends
	// after them.
	Sidecar Role = "sidecar"
	// Main is a container of the pod itself.
	Main Role = "main"
)

// Pull is when a registry is asked for an image, in Kubernetes' words.
type Pull string

// The pull policies that differ from asking for what is missing.
const (
	PullAlways Pull = "Always"
	PullNever  Pull = "Never"
)

// Container is one command of a pod.
type Container struct {
	Name  string `json:"name"`
	Role  Role   `json:"role"`
	Image string `json:"image"`
	// Pull is its pull policy; empty where the manifest leaves it open.
	Pull Pull `json:"pull,omitempty"`
	// Command replaces the image's entry point, Args the image's arguments.
	Command []string `json:"command,omitempty"`
	Args    []string `json:"args,omitempty"`
	// Env (K=V) is what the manifest adds to the image's, each name once.
	Env []string `json:"env,omitempty"`
	// Dir is the working directory; empty: the image's.
	Dir string `json:"dir,omitempty"`

	Startup   *Probe `json:"startup,omitempty"`
	Readiness *Probe `json:"readiness,omitempty"`
	Liveness  *Probe `json:"liveness,omitempty"`
	// PostStart runs once the container was started, PreStop before it is ended.
	PostStart *Action `json:"postStart,omitempty"`
	PreStop   *Action `json:"preStop,omitempty"`

	Limits Limits `json:"limits,omitempty"`

	// Own is what the container of a pod that is apart has for itself.
	Own Own `json:"own,omitzero"`
}

// Own is what one container has for itself.
type Own struct {
	Volumes  []Volume `json:"volumes,omitempty"`
	Security Security `json:"security"`
}

// Probe is an action that is done again and again.
type Probe struct {
	Action
	Delay   time.Duration `json:"delay,omitempty"` // before the first time
	Period  time.Duration `json:"period"`          // from one time to the next
	Timeout time.Duration `json:"timeout"`         // of each time
	// Success and Failure are how many in a row make the probe succeed or fail.
	Success int `json:"success"`
	Failure int `json:"failure"`
}

// Action is something that is done in a running container; one field is set.
type Action struct {
	Exec []string `json:"exec,omitempty"`
	HTTP *HTTP    `json:"http,omitempty"`
	// Port is a TCP port of the pod to connect to.
	Port  int           `json:"port,omitempty"`
	Sleep time.Duration `json:"sleep,omitempty"`
}

// HTTP is a request to the pod itself. Any answer from 200 to 399 is success.
type HTTP struct {
	TLS     bool        `json:"tls,omitempty"` // the certificate is not checked, as the kubelet does
	Host    string      `json:"host,omitempty"`
	Port    int         `json:"port"`
	Path    string      `json:"path"`
	Headers [][2]string `json:"headers,omitempty"`
}

// Volume is something of the pod's at one place of its root file system.
type Volume struct {
	Name   string `json:"name"`
	Target string `json:"target"`
	// Scratch is an empty writable folder in memory; SizeBytes bounds it, 0
	// where the manifest does not.
	Scratch   bool  `json:"scratch,omitempty"`
	SizeBytes int64 `json:"sizeBytes,omitempty"`
	// Shared names an empty folder that is mounted more than once in a pod whose
	// containers are apart: all mounts of this name are one folder.
	Shared string `json:"shared,omitempty"`
	// Files are what else is there, read-only. A single one without a path is
	// the file Target itself.
	Files []File `json:"files,omitempty"`
	// GID is the group of the folder or its files; nil: root's.
	GID *uint32 `json:"gid,omitempty"`
}

// File is one file of a volume.
type File struct {
	Path string `json:"path"` // below the volume; no link leads there
	Mode uint32 `json:"mode"` // permission bits
	Data []byte `json:"data"`
}

// Security is who runs and with which rights: one answer for all containers
// that share a user.
type Security struct {
	// UID and GID are the manifest's; nil: the root file system's. Without a
	// group of its own a user is in group 0.
	UID *uint32 `json:"uid,omitempty"`
	GID *uint32 `json:"gid,omitempty"`
	// Groups are further groups of the user.
	Groups []uint32 `json:"groups,omitempty"`
	// NonRoot refuses user 0, whoever named it.
	NonRoot bool `json:"nonRoot,omitempty"`
	// Escalation lets set-user-ID programs work. Unlike in Kubernetes the
	// manifest has to ask for it.
	Escalation bool `json:"escalation,omitempty"`
	// ReadOnlyRoot: nothing is writable but the pod's volumes.
	ReadOnlyRoot bool `json:"readOnlyRoot,omitempty"`
	// Capabilities are what the user has if it is root.
	Capabilities []string `json:"capabilities,omitempty"`
}
