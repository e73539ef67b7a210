package supervisor

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/runsc/container"

	"github.com/bulkhead-dev/bulkhead/engine/gvisor/wire"
)

// awaitExit returns a channel that is closed when a child ended. The child is left
// to be reaped. No thread is busy with that where the kernel has pidfds: see onThread.
func awaitExit(pid int) <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
		if err == nil {
			process := os.NewFile(uintptr(fd), "sandbox")
			defer process.Close()
			var conn syscall.RawConn
			if conn, err = process.SyscallConn(); err == nil {
				err = conn.Read(func(uintptr) bool { return over(pid, unix.WNOHANG) })
			}
		}
		if err != nil {
			over(pid, 0)
		}
	}()
	return ended
}

// over reports whether a child ended, or cannot be waited for.
func over(pid, options int) bool {
	var info unix.Siginfo
	for {
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT|options, nil)
		if !errors.Is(err, unix.EINTR) {
			return err != nil || info.Signo != 0
		}
	}
}

// reap waits for the end of a child and returns its status, which is that of the
// guest agent. One that cannot be known counts as killed.
func reap(pid int) unix.WaitStatus {
	var status unix.WaitStatus
	for {
		_, err := unix.Wait4(pid, &status, 0, nil)
		if err == nil {
			return status
		}
		if !errors.Is(err, unix.EINTR) {
			return unix.WaitStatus(unix.SIGKILL)
		}
	}
}

// exited tells that the sandbox's process, which was reaped, ended by itself.
func exited(c *container.Container, status unix.WaitStatus, events *eventWriter) {
	group := ""
	if g := c.Sandbox.CgroupJSON.Cgroup; g != nil {
		group = g.MakePath("memory")
	}
	events.send(wire.Event{Kind: wire.Exited, Status: int(status), OOMKilled: oomKilled(group)})
	c.Sandbox.Pid.Store(0) // another process may have its number by now
}
