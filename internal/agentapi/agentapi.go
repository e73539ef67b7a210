// Package agentapi is the wire between the host and the guest agent: the
// process service that E2B's SDKs speak (Connect protocol, JSON encoding) and
// one addition, the guest's identity. Both ends import it; it does no I/O.
//
// The messages are plain structs in the JSON form of the protocol: names in
// lowerCamelCase, bytes in standard base64, absent means zero.
package agentapi

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Procedures of the process service.
const (
	ProcessStart      = "/process.Process/Start"
	ProcessList       = "/process.Process/List"
	ProcessUpdate     = "/process.Process/Update"
	ProcessSendInput  = "/process.Process/SendInput"
	ProcessCloseStdin = "/process.Process/CloseStdin"
	ProcessSendSignal = "/process.Process/SendSignal"
)

// Plain HTTP resources.
const (
	// HealthPath answers 204 while the agent serves.
	HealthPath = "/health"
	// IdentityPath answers an Identity. It is Bulkhead's own.
	IdentityPath = "/bulkhead/identity"
	// EgressPath, posted to, has the agent offer the host's proxy at
	// EgressAddress. It is Bulkhead's own.
	EgressPath = "/bulkhead/egress"
	// PortPath plus a port number, posted to with Upgrade: tcp, becomes a
	// connection to that port of the sandbox's loopback device, byte for byte.
	// It is Bulkhead's own.
	PortPath = "/bulkhead/port/"
	// ArchivePath with the query path=P: GET answers the file or folder at P as
	// a stream of package archive, PUT unpacks one there; when P is a folder
	// and name=N is given, at P/N. Relative paths start at the root. It is
	// Bulkhead's own.
	ArchivePath = "/bulkhead/archive"
)

// PortProtocol is what a request for PortPath is upgraded to.
const PortProtocol = "tcp"

const (
	// EgressAddress is where the sandbox finds the way out: each connection to
	// it becomes a stream to the host, opened by the agent, byte for byte.
	EgressAddress = "127.0.0.1:3128"
	// MaxEgressConns is how many such streams are open at a time.
	MaxEgressConns = 32
)

// MaxMessageBytes bounds one message in either direction, after the envelope.
const MaxMessageBytes = 1 << 20

// MaxChunkBytes bounds the payload of one data event or input, so that its
// base64 form stays well below MaxMessageBytes.
const MaxChunkBytes = 64 << 10

// Identity is what the guest agent saw of the kernel it runs on, before any
// command was started in the sandbox.
type Identity struct {
	// Version of the agent's build.
	Version string `json:"version"`
	// BootID is /proc/sys/kernel/random/boot_id; empty where the kernel has none.
	BootID string `json:"bootID,omitempty"`
	// Kernel is the release and version that uname(2) answers.
	Kernel string `json:"kernel"`
}

// ProcessConfig says what to execute.
type ProcessConfig struct {
	// Cmd is a path, or a name that is looked up in PATH.
	Cmd  string   `json:"cmd"`
	Args []string `json:"args,omitempty"`
	// Envs are added to the agent's defaults, or replace them.
	Envs map[string]string `json:"envs,omitempty"`
	// Cwd is an absolute path; empty: the home folder.
	Cwd string `json:"cwd,omitempty"`
}

// PTY asks for a terminal.
type PTY struct {
	Size *PTYSize `json:"size,omitempty"`
}

// PTYSize is a terminal's size in characters.
type PTYSize struct {
	Cols uint32 `json:"cols,omitempty"`
	Rows uint32 `json:"rows,omitempty"`
}

// Selector names a running process by its pid or its tag.
type Selector struct {
	PID uint32 `json:"pid,omitempty"`
	Tag string `json:"tag,omitempty"`
}

// StartRequest starts a process. The answer is a stream of EventResponse.
type StartRequest struct {
	Process *ProcessConfig `json:"process,omitempty"`
	PTY     *PTY           `json:"pty,omitempty"`
	Tag     string         `json:"tag,omitempty"`
	// Stdin false gives the process an empty standard input; nil means true.
	Stdin *bool `json:"stdin,omitempty"`
}

// EventResponse is one message of the stream that Start answers.
type EventResponse struct {
	Event *Event `json:"event,omitempty"`
}

// Event is one of start, data, end, keepalive.
type Event struct {
	Start     *StartEvent `json:"start,omitempty"`
	Data      *DataEvent  `json:"data,omitempty"`
	End       *EndEvent   `json:"end,omitempty"`
	Keepalive *Empty      `json:"keepalive,omitempty"`
}

// StartEvent is the first event.
type StartEvent struct {
	PID uint32 `json:"pid,omitempty"`
}

// DataEvent carries output; one field is set.
type DataEvent struct {
	Stdout []byte `json:"stdout,omitempty"`
	Stderr []byte `json:"stderr,omitempty"`
	PTY    []byte `json:"pty,omitempty"`
}

// EndEvent is the last event.
type EndEvent struct {
	// ExitCode is the process's code, or 128 plus the signal that ended it.
	ExitCode int32 `json:"exitCode,omitempty"`
	// Exited is false when a signal ended the process.
	Exited bool   `json:"exited,omitempty"`
	Status string `json:"status,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Empty is a message without fields.
type Empty struct{}

// ListResponse holds the running processes.
type ListResponse struct {
	Processes []ProcessInfo `json:"processes,omitempty"`
}

// ProcessInfo is a running process.
type ProcessInfo struct {
	Config *ProcessConfig `json:"config,omitempty"`
	PID    uint32         `json:"pid,omitempty"`
	Tag    string         `json:"tag,omitempty"`
}

// UpdateRequest changes a terminal's size.
type UpdateRequest struct {
	Process *Selector `json:"process,omitempty"`
	PTY     *PTY      `json:"pty,omitempty"`
}

// SendInputRequest writes to a process's standard input or terminal.
type SendInputRequest struct {
	Process *Selector `json:"process,omitempty"`
	Input   *Input    `json:"input,omitempty"`
}

// Input carries bytes for a process; one field is set.
type Input struct {
	Stdin []byte `json:"stdin,omitempty"`
	PTY   []byte `json:"pty,omitempty"`
}

// CloseStdinRequest ends a process's standard input.
type CloseStdinRequest struct {
	Process *Selector `json:"process,omitempty"`
}

// SendSignalRequest signals a process and its group.
type SendSignalRequest struct {
	Process *Selector `json:"process,omitempty"`
	Signal  Signal    `json:"signal,omitempty"`
}

// Signal is a Linux signal number. On the wire it is a number, or one of the
// two names that the SDKs know: SIGNAL_SIGTERM, SIGNAL_SIGKILL.
type Signal int

// UnmarshalJSON reads a number or a name.
func (s *Signal) UnmarshalJSON(data []byte) error {
	if !strings.HasPrefix(string(data), `"`) {
		return json.Unmarshal(data, (*int)(s))
	}
	var name string
	if err := json.Unmarshal(data, &name); err != nil {
		return err
	}
	switch name {
	case "SIGNAL_SIGTERM":
		*s = 15
	case "SIGNAL_SIGKILL":
		*s = 9
	default:
		return fmt.Errorf("unknown signal %q", name)
	}
	return nil
}

// Codec encodes the messages for package connect, in place of its own JSON
// codec, which takes generated messages only.
type Codec struct{}

// Name makes the codec serve the content types application/json and
// application/connect+json.
func (Codec) Name() string { return "json" }

// Marshal encodes one message.
func (Codec) Marshal(message any) ([]byte, error) { return json.Marshal(message) }

// Unmarshal decodes one message. Unknown fields are ignored: the SDKs of later
// versions send more than this one knows.
func (Codec) Unmarshal(data []byte, message any) error {
	if len(data) == 0 {
		return nil
	}
	return json.Unmarshal(data, message)
}
