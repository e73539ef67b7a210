package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// Request kinds.
const (
	// Join starts the container whose bundle is at ContainerBundle. The message
	// carries two descriptors, the container's standard input and output. The
	// answer is a Joined or a Refused event.
	Join = "join"
	// End ends a container and removes what is left of it. The answer is a
	// Removed event.
	End = "end"
)

// Event kinds that answer requests. They carry Container.
const (
	// Joined: the container's guest agent was started.
	Joined = "joined"
	// Refused: the container could not be started; it carries Message.
	Refused = "refused"
	// Removed: nothing of the container is left, or Message says what is.
	Removed = "removed"
)

// MaxRequest bounds a Request's bytes.
const MaxRequest = 1 << 10

// Request is what the engine asks of the supervisor of a sandbox that runs.
type Request struct {
	Kind string `json:"kind"`
	// Container is the container's name: see sandbox.ValidID.
	Container string `json:"container"`
}

// ParseRequest reads a request strictly: one object, known fields, a known
// kind, a valid name.
func ParseRequest(message []byte) (Request, error) {
	var r Request
	if len(message) > MaxRequest {
		return r, fmt.Errorf("a request has more than %d bytes", MaxRequest)
	}
	d := json.NewDecoder(bytes.NewReader(message))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("reading a request: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return r, errors.New("a request has something after its end")
	}
	if r.Kind != Join && r.Kind != End {
		return r, fmt.Errorf("unknown request %q", r.Kind)
	}
	if !sandbox.ValidID(r.Container) {
		return r, fmt.Errorf("%q is not a valid name", r.Container)
	}
	return r, nil
}

// Files is how many descriptors a request carries.
func (r Request) Files() int {
	if r.Kind == Join {
		return 2
	}
	return 0
}

// ContainerBundle is the folder of a container's bundle in that of its sandbox.
func ContainerBundle(sandboxBundle, name string) string {
	return sandboxBundle + "/containers/" + name
}
