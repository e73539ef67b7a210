package guest

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// outputPipes carry a process's standard output and standard error.
type outputPipes struct {
	stdout, stderr outputPipe
}

// outputPipe has the agent's end and the process's.
type outputPipe struct {
	from, to *os.File
}

func newOutputPipes() (p outputPipes, err error) {
	var err1, err2 error
	p.stdout.from, p.stdout.to, err1 = pipe(0)
	p.stderr.from, p.stderr.to, err2 = pipe(0)
	if err := errors.Join(err1, err2); err != nil {
		p.close()
		return outputPipes{}, err
	}
	return p, nil
}

func (p outputPipes) close() {
	for _, f := range []*os.File{p.stdout.from, p.stdout.to, p.stderr.from, p.stderr.to} {
		_ = f.Close() // of none: an error and nothing else
	}
}

// sparePipes are made between commands for the next one, which then starts
// without their system calls.
type sparePipes chan outputPipes

func newSparePipes() sparePipes { return make(sparePipes, 1) }

// take returns the spare pipes, or new ones where there are none.
func (s sparePipes) take() (outputPipes, error) {
	select {
	case p := <-s:
		return p, nil
	default:
		return newOutputPipes()
	}
}

// fill makes the spare pipes unless they are there. Where that fails, so will
// the next command's start, which tells why.
func (s sparePipes) fill() {
	if len(s) == cap(s) {
		return
	}
	p, err := newOutputPipes()
	if err != nil {
		return
	}
	select {
	case s <- p:
	default: // another command's end was faster
		p.close()
	}
}

// pipe makes a pipe of which the agent keeps one end, 0 to read or 1 to write.
// Only that end waits without a thread: os.Pipe makes both so, and each end's
// way there and back costs system calls at every start of a process.
func pipe(kept int) (r, w *os.File, err error) {
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	// A new pipe has no other flag to keep.
	if _, err := unix.FcntlInt(uintptr(fds[kept]), unix.F_SETFL, unix.O_NONBLOCK); err != nil {
		return nil, nil, errors.Join(os.NewSyscallError("fcntl", err), syscall.Close(fds[0]), syscall.Close(fds[1]))
	}
	return os.NewFile(uintptr(fds[0]), "|0"), os.NewFile(uintptr(fds[1]), "|1"), nil
}
