package oci

import (
	"errors"
	"fmt"
	"os"
)

// Stream is the host's end of the guest agent's byte stream: two pipes, whose
// other ends are the agent's standard input and output.
type Stream struct {
	in, out *os.File
}

// NewStream returns the host's end, and the guest's (standard input and
// output), which the caller closes once the runtime has them.
func NewStream() (host *Stream, stdin, stdout *os.File, err error) {
	stdin, in, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, fmt.Errorf("making the guest agent's stream: %w", err)
	}
	out, stdout, err := os.Pipe()
	if err != nil {
		return nil, nil, nil, errors.Join(fmt.Errorf("making the guest agent's stream: %w", err), stdin.Close(), in.Close())
	}
	return &Stream{in: in, out: out}, stdin, stdout, nil
}

// Read reads what the guest agent wrote.
func (s *Stream) Read(p []byte) (int, error) { return s.out.Read(p) }

// Write writes to the guest agent.
func (s *Stream) Write(p []byte) (int, error) { return s.in.Write(p) }

// Close ends the stream in both directions. It is idempotent.
func (s *Stream) Close() error {
	return ignoreClosed(s.in.Close(), s.out.Close())
}

func ignoreClosed(errs ...error) error {
	for _, err := range errs {
		if err != nil && !errors.Is(err, os.ErrClosed) {
			return err
		}
	}
	return nil
}
