// Package supervisor boots one gVisor sandbox in process, through gVisor's own
// container package, and destroys it when its lifeline is cut. One process
// serves one sandbox: container.New hands the process's own standard streams to
// the container and marks every other descriptor close-on-exec.
package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/log"
	sentry "gvisor.dev/gvisor/runsc/boot"
	"gvisor.dev/gvisor/runsc/config"
	"gvisor.dev/gvisor/runsc/container"
	"gvisor.dev/gvisor/runsc/flag"
	"gvisor.dev/gvisor/runsc/specutils"
	runscversion "gvisor.dev/gvisor/runsc/version"

	"github.com/bulkhead-dev/bulkhead/engine/cgroup/oom"
	"github.com/bulkhead-dev/bulkhead/engine/folder"
	"github.com/bulkhead-dev/bulkhead/engine/gvisor/wire"
	"github.com/bulkhead-dev/bulkhead/gvisor/coldstart"
	"github.com/bulkhead-dev/bulkhead/internal/version"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// options are the supervisor's arguments.
type options struct {
	bundle   string // OCI bundle: a folder with config.json
	id       string // sandbox id
	state    string // gVisor's own state folder
	cgroups  bool   // a group of its own bounds the sandbox, as the bundle says
	rootless bool   // this process is root in a user namespace only
	platform string // gVisor platform: systrap or kvm
	debugLog string // folder of gVisor's debug logs; empty: none
	// containers is how many containers may join the sandbox.
	containers int
	// parkAfter is how long after its start the supervisor of a sandbox parks; 0: never.
	parkAfter time.Duration
	// sentry is the process of the sandbox of a supervisor that was parked.
	sentry int
}

// Main runs the supervisor and returns its exit code: 0 when the sandbox was
// booted and destroyed, 1 when it could not be booted, 2 on bad arguments.
// What went wrong is in the Failed event.
func Main(args []string) int {
	events := &eventWriter{w: os.NewFile(wire.EventsFD, "events")}
	opts, err := parse(args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bulkhead-runsc supervise: %v\n", err)
		return 2
	}
	events.send(wire.Event{Kind: wire.Hello, Version: version.String(), Runtime: runscversion.Version()})
	silence()
	failed := wire.Failed
	end := newEnding()
	c, err := boot(opts, end.bundle)
	if err == nil {
		failed = wire.Left
		err = live(opts, c, end, events)
	}
	return finish(opts, err, failed, events)
}

// silence ends gVisor's log, which nobody reads: what little of it is put together
// goes nowhere.
func silence() {
	log.SetTarget(log.GoogleEmitter{Writer: &log.Writer{Next: io.Discard}})
	log.SetLevel(log.Warning)
}

// finish removes the sandbox's folder and says the last event. err is what went
// wrong before.
func finish(opts options, err error, failed string, events *eventWriter) int {
	// The engine may be gone (killed): then nobody else removes the folder.
	own := folder.Folder{Dir: opts.bundle, Lock: os.NewFile(wire.LockFD, "lock")}
	err = errors.Join(err, own.Remove())
	if err != nil {
		events.send(wire.Event{Kind: failed, Message: err.Error()})
		return 1
	}
	events.send(wire.Event{Kind: wire.Destroyed})
	return 0
}

func parse(args []string) (options, error) {
	var o options
	fs := flag.NewFlagSet(wire.Verb, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&o.bundle, "bundle", "", "OCI bundle folder")
	fs.StringVar(&o.id, "id", "", "sandbox id")
	fs.StringVar(&o.state, "state", "", "state folder")
	fs.BoolVar(&o.cgroups, "cgroups", false, "bound the sandbox by a cgroup, as the bundle says")
	fs.BoolVar(&o.rootless, "rootless", false, "root in a user namespace only")
	fs.StringVar(&o.platform, "platform", "systrap", "gVisor platform")
	fs.StringVar(&o.debugLog, "debug-log", "", "folder of gVisor's debug logs")
	fs.IntVar(&o.containers, "containers", 0, "how many containers may join the sandbox")
	fs.DurationVar(&o.parkAfter, "park-after", 0, "how long after its start the supervisor parks")
	fs.IntVar(&o.sentry, "sentry", 0, "process of the sandbox of a supervisor that was parked")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.bundle == "" || o.id == "" || o.state == "" || fs.NArg() > 0 || o.containers < 0 || o.containers > sandbox.MaxContainers {
		return o, errors.New("it is started by bulkhead, with --bundle, --id and --state")
	}
	return o, nil
}

// runscConfig turns options into gVisor's configuration. Settings go through
// runsc's own flags, because the boot process gets them as flags again.
func runscConfig(o options) (*config.Config, error) {
	settings := map[string]string{
		"root":     o.state,
		"platform": o.platform,
		// The sandbox has no network device: the only way out is the stream.
		"network": "none",
		// The root file system is read-only, and what is writable is tmpfs:
		// an overlay would only cost a file store.
		"overlay2": "none",
		// A namespace pinned for reuse would be a mount that outlives the sandbox.
		"gofer-network-namespace": "new",
		// Nothing in the sandbox connects to a socket on the host.
		"host-uds": "none",
		// A group costs time and root: there is one when a limit needs it.
		"ignore-cgroups": fmt.Sprint(!o.cgroups),
		"rootless":       fmt.Sprint(o.rootless),
		// What gVisor would advise about this machine's settings goes to its log.
		"host-settings": "ignore",
		// How the sandbox's processes know whose they are.
		coldstart.Flag: coldstart.Value,
	}
	if o.debugLog != "" {
		settings["debug"] = "true"
		settings["debug-log"] = filepath.Clean(o.debugLog) + "/"
	}
	fs := flag.NewFlagSet("runsc", flag.ContinueOnError)
	config.RegisterFlags(fs)
	for name, value := range settings {
		if err := fs.Set(name, value); err != nil {
			return nil, fmt.Errorf("setting gVisor flag %s=%s: %w", name, value, err)
		}
	}
	return config.NewFromFlags(fs)
}

// ending is how a sandbox is told to begin and to end.
type ending struct {
	begun   chan struct{}  // closed when the bundle is complete
	cut     chan struct{}  // closed when the lifeline was cut
	signals chan os.Signal // one that reached this process by another way
}

func newEnding() *ending {
	e := &ending{begun: make(chan struct{}), cut: make(chan struct{}), signals: make(chan os.Signal, 1)}
	signal.Notify(e.signals, endSignals()...)
	_ = unix.SetNonblock(wire.LifelineFD, true) // no thread is busy with it: see onThread
	lifeline := os.NewFile(wire.LifelineFD, "lifeline")
	go func() {
		if _, err := io.ReadFull(lifeline, make([]byte, 1)); err == nil {
			close(e.begun)
		}
		_, _ = io.Copy(io.Discard, lifeline)
		close(e.cut)
	}()
	// What waits for signals takes its thread for good. It takes it now, and not that
	// which starts the sandbox.
	runtime.Gosched()
	return e
}

// bundle waits until there is one.
func (e *ending) bundle() error {
	select {
	case <-e.begun:
		return nil
	case <-e.cut:
	case <-e.signals:
	}
	return errors.New("there is no bundle")
}

func endSignals() []os.Signal { return []os.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP} }

// boot creates the sandbox and starts the guest agent in it. bundle waits until
// there is one.
func boot(o options, bundle func() error) (*container.Container, error) {
	// gVisor re-executes "itself": without a fixed path that is this process
	// with its own arguments.
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("finding bulkhead-runsc: %w", err)
	}
	specutils.ExePath = exe
	conf, err := runscConfig(o)
	if err != nil {
		return nil, err
	}
	if err := bundle(); err != nil {
		return nil, err
	}
	spec, err := specutils.ReadSpec(o.bundle, conf)
	if err != nil {
		return nil, fmt.Errorf("reading the bundle: %w", err)
	}
	if err := specutils.FixConfig(conf, spec); err != nil {
		return nil, fmt.Errorf("applying the bundle's annotations: %w", err)
	}
	go func() { _ = warm() }()
	c, err := container.New(conf, container.Args{ID: o.id, Spec: spec, BundleDir: o.bundle, Attached: true})
	if err != nil {
		return nil, fmt.Errorf("creating the sandbox: %w", err)
	}
	if err := c.Start(conf); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the sandbox: %w", err), c.Destroy())
	}
	return c, nil
}

// warm does ahead, while this process waits for the sentry, what makes writing the
// container's state and asking for its network slow: package json looks into a
// type when it first sees it.
func warm() error {
	_, err := json.Marshal(&container.Container{})
	_, err2 := json.Marshal(&sentry.CreateLinksAndRoutesArgs{})
	return errors.Join(err, err2)
}

// live reports what becomes of the sandbox until it ends or has to, and destroys it.
func live(o options, c *container.Container, end *ending, events *eventWriter) error {
	// The container holds its own copies. Only when these are gone does the
	// engine see the end of the stream at the end of the guest agent.
	closeStreams()
	events.send(wire.Event{Kind: wire.Started})
	joined := &containers{opts: o, events: events, left: o.containers, joined: map[string]*container.Container{}}
	if err := joined.open(); err != nil {
		return errors.Join(err, c.Destroy())
	}
	ended := awaitExit(c.SandboxPid())
	var idle <-chan time.Time
	attempts := 0
	if parks(o, c) {
		idle, attempts = time.After(o.parkAfter), 5
	}
	for waiting := true; waiting; {
		select {
		case <-idle:
			// It returns only when this process goes on as it is.
			waiting = park(c.SandboxPid(), end)
			if attempts--; attempts > 0 {
				idle = time.After(max(o.parkAfter, 100*time.Millisecond))
			}
		case <-ended:
			exited(c, reap(c.SandboxPid()), events)
			waiting = false
		case <-end.cut:
			waiting = false
		case <-end.signals:
			waiting = false
		}
	}
	if err := c.Destroy(); err != nil {
		return errors.Join(fmt.Errorf("destroying the sandbox: %w", err), joined.destroy())
	}
	return joined.destroy()
}

// oomKilled reports whether the kernel killed a process of the group for its
// limit of memory. group is empty when there is no group.
func oomKilled(group string) bool {
	if group == "" {
		return false
	}
	kills, err := oom.Kills(group)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(os.Stderr, "bulkhead-runsc supervise: %v\n", err)
	}
	return kills > 0
}

// closeStreams drops this process's ends of the guest agent's byte stream.
func closeStreams() {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer null.Close()
	for _, fd := range []int{0, 1} {
		_ = unix.Dup3(int(null.Fd()), fd, 0)
	}
}

// eventWriter writes one JSON event a line. The engine may be gone: a failed
// write is not an error of the sandbox, and the lifeline ends it anyway.
type eventWriter struct {
	w io.Writer
}

func (e *eventWriter) send(ev wire.Event) {
	line, err := json.Marshal(ev)
	if err != nil {
		return
	}
	_, _ = e.w.Write(append(line, '\n'))
}
