package guest

import (
	"errors"
	"os"
)

// stdio is the stream over two pipes.
type stdio struct {
	in, out *os.File
}

// Stdio takes standard input and output as the stream to the host, and leaves
// /dev/null in their place so that nothing else can write to it by accident.
func Stdio() *stdio {
	s := &stdio{in: os.Stdin, out: os.Stdout}
	if null := openNull(); null != nil {
		os.Stdin, os.Stdout = null, null
	}
	return s
}

func (s *stdio) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s *stdio) Write(p []byte) (int, error) { return s.out.Write(p) }
func (s *stdio) Close() error                { return errors.Join(s.in.Close(), s.out.Close()) }
