package supervisor

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/runsc/container"

	"github.com/bulkhead-dev/bulkhead/engine/gvisor/wire"
	"github.com/bulkhead-dev/bulkhead/gvisor/entry"
)

// A supervisor whose sandbox goes on has nothing to do but to wait, and that takes
// a Go program with a heap of 3 MiB. So it parks: it executes itself, as the entry
// point of package entry alone, which waits on three descriptors and then executes
// itself once more, as Resume. Process id, child, privileges, mount namespace and
// the descriptors that package wire names stay what they are.

// Descriptors that a parked supervisor waits on, beside the lifeline. Package entry
// knows them by number.
const (
	sentryFD = 253 // a pidfd: the sandbox's process ended
	signalFD = 254 // a signal that ends the sandbox
)

const (
	parkedVerb = "parked" // package entry knows it
	// ResumeVerb is the first argument that makes bulkhead-runsc go on where a
	// parked supervisor stopped.
	ResumeVerb = "resume" // package entry knows it
)

// parks reports whether the sandbox's supervisor may park: it has nothing to do but
// to wait. It starts no more containers, and serves no gofer.
func parks(o options, c *container.Container) bool {
	return o.parkAfter > 0 && o.containers == 0 && c.GoferPid.Load() == 0 && entry.Ran()
}

// park parks this process. It returns when that cannot be, and then whether the
// sandbox goes on with this process as it is: false when it has to end. A later
// attempt may go well: a thread is busy for a while.
func park(sentry int, end *ending) bool {
	tid, err := parentThread(sentry)
	if err == nil {
		err = onThread(tid, func() error { return execParked(sentry, end) })
	}
	if errors.Is(err, errEnds) {
		return false
	}
	fmt.Fprintf(os.Stderr, "bulkhead-runsc supervise: not parked: %v\n", err)
	return true
}

var errEnds = errors.New("the sandbox has to end")

// parentThread returns the thread of this process that started its only child. The
// child is killed with that thread (PR_SET_PDEATHSIG), and an execve ends all
// threads but the one that makes it.
func parentThread(child int) (int, error) {
	parent := 0
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0, err
	}
	for _, task := range tasks {
		list, err := os.ReadFile(filepath.Join("/proc/self/task", task.Name(), "children"))
		if errors.Is(err, os.ErrNotExist) {
			continue // it ended, or the kernel does not tell
		}
		if err != nil {
			return 0, err
		}
		for field := range strings.FieldsSeq(string(list)) {
			if field != strconv.Itoa(child) {
				return 0, fmt.Errorf("there is a process %s beside the sandbox's", field)
			}
			if parent, err = strconv.Atoi(task.Name()); err != nil {
				return 0, err
			}
		}
	}
	if parent == 0 {
		return 0, errors.New("no thread is known to have started the sandbox")
	}
	return parent, nil
}

// onThread calls f on a thread of this process that waits for work. It keeps
// threads busy until that one is among the few that are left, and then takes what
// comes: one waits for descriptors, and takes work when a timer fires. A thread that
// a goroutine took for good, with a system call that blocks, is never had.
func onThread(tid int, f func() error) error {
	const attempts = 100
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	done := make(chan struct{})
	defer close(done)
	for n := range len(tasks) + attempts {
		hold := n < len(tasks)
		if !hold {
			<-time.After(time.Millisecond)
		}
		got := make(chan bool)
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			there := unix.Gettid() == tid
			if there {
				err = f()
			}
			got <- there
			if hold && !there {
				<-done
			}
		}()
		if <-got {
			return err
		}
	}
	return errors.New("the thread that started the sandbox is busy")
}

// execParked executes the parked supervisor from the calling thread. It returns
// when that fails, with everything as it was; errEnds when a signal came first.
//
// No signal is lost. From where the thread blocks them they wait for signalFD; one
// that another thread takes before it is gone, or that comes in the moment in which
// Go starts again, ends this process and with it the sandbox, as SIGKILL does.
func execParked(sentry int, end *ending) (err error) {
	var set, old unix.Sigset_t
	for _, s := range endSignals() {
		n, ok := s.(syscall.Signal)
		if !ok {
			return fmt.Errorf("%v has no number", s)
		}
		set.Val[0] |= 1 << (uint(n) - 1)
	}
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, &old); err != nil {
		return fmt.Errorf("blocking signals: %w", err)
	}
	defer func() { err = errors.Join(err, unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)) }()
	if err := openAt(signalFD, func() (int, error) { return unix.Signalfd(-1, &set, unix.SFD_CLOEXEC|unix.SFD_NONBLOCK) }); err != nil {
		return fmt.Errorf("waiting for signals: %w", err)
	}
	defer func() { _ = unix.Close(signalFD) }()
	if err := openAt(sentryFD, func() (int, error) { return unix.PidfdOpen(sentry, 0) }); err != nil {
		return fmt.Errorf("waiting for the sandbox's process: %w", err)
	}
	defer func() { _ = unix.Close(sentryFD) }()
	kept := []int{0, 1, 2, wire.LifelineFD, wire.EventsFD, wire.LockFD, sentryFD, signalFD}
	for _, fd := range kept {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("keeping descriptor %d: %w", fd, err)
		}
	}
	// From here on no signal comes to the channel; what came before is in it.
	signal.Stop(end.signals)
	select {
	case <-end.signals:
		return errEnds
	default:
	}
	args := append([]string{os.Args[0], parkedVerb, "--sentry", strconv.Itoa(sentry)}, os.Args[2:]...)
	// The link leads to this very program, whatever stands at its path by now.
	err = syscall.Exec("/proc/self/exe", args, os.Environ())
	signal.Notify(end.signals, endSignals()...)
	return fmt.Errorf("executing itself: %w", err)
}

// openAt opens a descriptor and gives it a number that is not used.
func openAt(fd int, open func() (int, error)) error {
	got, err := open()
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(got) }()
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); !errors.Is(err, unix.EBADF) {
		return fmt.Errorf("descriptor %d is used", fd)
	}
	return unix.Dup3(got, fd, unix.O_CLOEXEC)
}

// Resume ends the sandbox of a supervisor that was parked: something happened. It
// returns what Main would.
func Resume(args []string) int {
	events := &eventWriter{w: os.NewFile(wire.EventsFD, "events")}
	opts, err := parse(args)
	if err != nil || opts.sentry <= 0 {
		fmt.Fprintf(os.Stderr, "bulkhead-runsc resume: a parked supervisor starts it (%v)\n", err)
		return 2
	}
	signal.Ignore(endSignals()...) // it ends anyway
	silence()
	return finish(opts, resume(opts, events), wire.Left, events)
}

// resume kills the sandbox's process, if it did not end by itself, before it does
// anything that can fail.
func resume(o options, events *eventWriter) error {
	var status unix.WaitStatus
	pid, err := unix.Wait4(o.sentry, &status, unix.WNOHANG, nil)
	ended := pid == o.sentry
	if err == nil && !ended {
		err = unix.Kill(o.sentry, unix.SIGKILL) // a child that was not reaped: the number is its
		reap(o.sentry)
	}
	if err != nil {
		return fmt.Errorf("ending the sandbox's process: %w", err)
	}
	id := container.FullID{SandboxID: o.id, ContainerID: o.id}
	c, err := container.Load(o.state, id, container.LoadOpts{Exact: true, SkipCheck: true})
	if err != nil {
		return fmt.Errorf("reading the sandbox's state: %w", err)
	}
	if ended {
		exited(c, status, events)
	}
	c.Sandbox.Pid.Store(0)
	if err := c.Destroy(); err != nil {
		return fmt.Errorf("destroying the sandbox: %w", err)
	}
	return nil
}
