package guest

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// softFiles is how many files a command may open until it asks for more, as on
// any Linux. The Go runtime raises that for the agent itself.
const softFiles = 1024

// spawn is what a process is made from. It gets a session of its own.
type spawn struct {
	paths     []string // candidates to execute; the first that can be is
	argv, env []string
	dir       string
	files     [3]*os.File // become descriptors 0, 1, 2
	terminal  bool        // files are a terminal, which becomes the session's
}

// dirError says that the working directory cannot be entered.
type dirError struct {
	dir string
	err error
}

func (e dirError) Error() string { return "working directory " + e.dir + ": " + e.err.Error() }
func (e dirError) Unwrap() error { return e.err }

// start starts the process, which is the caller's to wait for.
func (s *spawn) start() (pid int, err error) {
	c, err := s.child()
	if err != nil {
		return 0, err
	}
	pid, errno := c.vfork()
	runtime.KeepAlive(s)
	switch {
	case errno == syscall.ENOSYS || errno == syscall.EINVAL || errno == syscall.EPERM:
		return s.portable() // a kernel before Linux 5.5, or a filter of system calls
	case errno != 0:
		return 0, os.NewSyscallError("clone3", errno)
	case c.errno == 0:
		return pid, nil
	}
	for {
		if _, err := syscall.Wait4(pid, nil, 0, nil); err != syscall.EINTR {
			break
		}
	}
	if c.inDir {
		return 0, dirError{s.dir, c.errno}
	}
	return 0, c.errno
}

// portable is start without sharing memory in a way of our own: 62 system calls
// more, each of which is dear in gVisor.
func (s *spawn) portable() (int, error) {
	if info, err := os.Stat(s.dir); err != nil {
		return 0, dirError{s.dir, err}
	} else if !info.IsDir() {
		return 0, dirError{s.dir, syscall.ENOTDIR}
	}
	attr := &os.ProcAttr{Dir: s.dir, Env: s.env, Files: s.files[:], Sys: &syscall.SysProcAttr{Setsid: true, Setctty: s.terminal}}
	result := syscall.ENOENT
	for _, path := range s.paths {
		p, err := os.StartProcess(path, s.argv, attr)
		if err == nil {
			return p.Pid, p.Release()
		}
		var errno syscall.Errno
		if !errors.As(err, &errno) {
			return 0, err
		}
		if result = worse(result, errno); final(errno) {
			break
		}
	}
	return 0, result
}

// final reports whether a candidate that failed with errno is the last one.
//
//go:nosplit
func final(errno syscall.Errno) bool {
	return errno != syscall.ENOENT && errno != syscall.ENOTDIR && errno != syscall.EACCES
}

// worse returns which of two candidates' errors is told: that one exists and
// cannot be executed rather than that one does not exist.
//
//go:nosplit
func worse(before, errno syscall.Errno) syscall.Errno {
	if before == syscall.EACCES && !final(errno) {
		return before
	}
	return errno
}

// child is all that the child touches between vfork and execve, made ready by
// the parent: in between nothing may be allocated.
type child struct {
	clone     cloneArgs
	paths     []*byte
	argv, env []*byte
	dir       *byte
	files     [3]uintptr
	terminal  bool
	limit     syscall.Rlimit

	// What the child says, by the memory that both share until execve.
	errno syscall.Errno
	inDir bool
}

// cloneArgs is the first version of the kernel's struct clone_args.
type cloneArgs struct {
	flags, pidFD, childTID, parentTID, exitSignal, stack, stackSize, tls uint64
}

func (s *spawn) child() (*child, error) {
	c := &child{terminal: s.terminal}
	c.clone.flags = unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_CLEAR_SIGHAND
	c.clone.exitSignal = uint64(syscall.SIGCHLD)
	var errs [4]error
	c.paths, errs[0] = syscall.SlicePtrFromStrings(s.paths)
	c.argv, errs[1] = syscall.SlicePtrFromStrings(s.argv)
	c.env, errs[2] = syscall.SlicePtrFromStrings(s.env)
	c.dir, errs[3] = syscall.BytePtrFromString(s.dir)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("a zero byte in the command: %w", err)
	}
	c.paths = c.paths[:len(s.paths)]
	for i, f := range s.files {
		c.files[i] = f.Fd()
	}
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &c.limit); err != nil {
		return nil, os.NewSyscallError("getrlimit", err)
	}
	c.limit.Cur = min(softFiles, c.limit.Max)
	return c, nil
}

// vfork starts a child that shares the agent's memory until it executes, with
// none of the agent's signal handlers. The parent's frame may not be the one in
// which the child runs: hence a function that neither inlines nor is inlined.
//
//go:noinline
//go:nosplit
//go:norace
func (c *child) vfork() (pid int, errno syscall.Errno) {
	r1, e := rawVfork(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&c.clone)), unsafe.Sizeof(c.clone), 0)
	if e != 0 || r1 != 0 {
		return int(r1), syscall.Errno(e)
	}
	c.run()
	for {
		_, _, _ = syscall.RawSyscall(syscall.SYS_EXIT, 127, 0, 0)
	}
}

// run is the child: it returns only if it could not execute.
//
//go:noinline
//go:nosplit
//go:norace
func (c *child) run() {
	if _, _, c.errno = syscall.RawSyscall(syscall.SYS_SETSID, 0, 0, 0); c.errno != 0 {
		return
	}
	if _, _, c.errno = syscall.RawSyscall(syscall.SYS_CHDIR, uintptr(unsafe.Pointer(c.dir)), 0, 0); c.errno != 0 {
		c.inDir = true
		return
	}
	for i := range c.files {
		if _, _, c.errno = syscall.RawSyscall(syscall.SYS_DUP3, c.files[i], uintptr(i), 0); c.errno != 0 {
			return
		}
	}
	if c.terminal {
		if _, _, c.errno = syscall.RawSyscall(syscall.SYS_IOCTL, 0, syscall.TIOCSCTTY, 1); c.errno != 0 {
			return
		}
	}
	_, _, c.errno = syscall.RawSyscall6(syscall.SYS_PRLIMIT64, 0, syscall.RLIMIT_NOFILE, uintptr(unsafe.Pointer(&c.limit)), 0, 0, 0)
	if c.errno != 0 {
		return
	}
	result := syscall.ENOENT
	for i := range c.paths {
		_, _, errno := syscall.RawSyscall(syscall.SYS_EXECVE, uintptr(unsafe.Pointer(c.paths[i])),
			uintptr(unsafe.Pointer(unsafe.SliceData(c.argv))), uintptr(unsafe.Pointer(unsafe.SliceData(c.env))))
		if result = worse(result, errno); final(errno) {
			break
		}
	}
	c.errno = result
}

// rawVfork is a system call from which a child returns on its parent's stack.
func rawVfork(trap, a1, a2, a3 uintptr) (r1, errno uintptr)
