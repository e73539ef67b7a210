//go:build linux

// Package keeper keeps named sandboxes: one small host process for each, which
// owns the sandbox's stream and lends it to the commands of its user. All that
// is known of a named sandbox stands in one folder of the user's own, where a
// lock says whether its keeper lives: the kernel drops it however that ends.
package keeper

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// Files in the folder of a named sandbox.
const (
	lockFile    = "lock"
	stateFile   = "state.json"
	guestSocket = "guest.sock"   // Relay: a stream to the guest agent for each connection
	ownSocket   = "control.sock" // the keeper itself
	// containerSocket is guestSocket for the container of this number, where the
	// containers of a pod are apart. It is no longer than the others: a path is bounded.
	containerSocket = "c%d.sock"
)

// State is what is known of a named sandbox. The keeper writes it.
type State struct {
	Name     string            `json:"name"`
	ID       string            `json:"id"`
	Engine   string            `json:"engine"`
	Boundary boundary.Boundary `json:"boundary"`
	// Command is the sandbox's own command; empty: it waits for others, or runs a
	// pod, in whose commands values of Secrets may be.
	Command []string `json:"command,omitempty"`
	// Dir is where commands start unless they say otherwise.
	Dir string `json:"dir,omitempty"`
	// Containers are those of the pod that the sandbox runs; nil: it runs none.
	Containers []Container `json:"containers,omitempty"`
	// Default is the container that is meant where none is named.
	Default string `json:"defaultContainer,omitempty"`
	// Apart: each container has a guest agent of its own.
	Apart   bool      `json:"apart,omitempty"`
	Created time.Time `json:"created"`
	// Ended is set when the sandbox is gone and its end was in order.
	Ended    *time.Time `json:"ended,omitempty"`
	ExitCode int        `json:"exitCode"`
	// Error says why the sandbox ended when it was neither its command nor its user.
	Error string `json:"error,omitempty"`
}

// Status is one of running, exited, crashed.
type Status string

// The states of a named sandbox.
const (
	Running Status = "running"
	Exited  Status = "exited"
	// Crashed: the keeper is gone and did not say how it ended. The sandbox is
	// gone too, because it ends with its keeper.
	Crashed Status = "crashed"
)

// Entry is a named sandbox as it was found.
type Entry struct {
	State
	Status Status `json:"status"`
	dir    string
}

// Store is the folder of a user's named sandboxes.
type Store struct {
	dir string
}

// NewStore returns the store in stateDir, a folder of the caller's own (mode 0700).
func NewStore(stateDir string) *Store { return &Store{dir: filepath.Join(stateDir, "named")} }

// created is a new entry, whose lock this process holds.
type created struct {
	dir  string
	lock *os.File
}

// create takes a name. The folder appears under it with its lock held.
func (s *Store) create(state State) (*created, error) {
	if !sandbox.ValidID(state.Name) {
		return nil, fault.WithHint(fmt.Errorf("%q is not a name for a sandbox", state.Name), "use lower-case letters, digits and inner hyphens, at most 63")
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of named sandboxes: %w", err)
	}
	tmp := filepath.Join(s.dir, ".new-"+rand.Text())
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of a named sandbox: %w", err)
	}
	lock, err := lockAt(tmp)
	if err == nil {
		err = writeState(tmp, state)
	}
	dir := filepath.Join(s.dir, state.Name)
	if err == nil {
		// A rename never replaces a folder that holds something.
		err = os.Rename(tmp, dir)
	}
	if err != nil {
		if lock != nil {
			lock.Close()
		}
		os.RemoveAll(tmp)
		if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
			return nil, s.taken(state.Name)
		}
		return nil, fmt.Errorf("making the folder of a named sandbox: %w", err)
	}
	return &created{dir: dir, lock: lock}, nil
}

func (s *Store) taken(name string) error {
	hint := fmt.Sprintf("choose another name, or end it: bulkhead kill %s", name)
	status := Running
	if e, err := s.Find(name); err == nil && e.Status != Running {
		status, hint = e.Status, fmt.Sprintf("choose another name, or remove it: bulkhead rm %s", name)
	}
	return fault.WithHint(fmt.Errorf("the name %s is taken by a sandbox that is %s", name, status), hint)
}

// lockAt opens and locks the lock of a folder; it fails when another process holds it.
func lockAt(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func writeState(dir string, state State) error {
	data, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, "."+stateFile)
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, stateFile))
}

// Find returns the sandbox of that name.
func (s *Store) Find(name string) (Entry, error) {
	if !sandbox.ValidID(name) {
		return Entry{}, fault.WithHint(fmt.Errorf("%q is not the name of a sandbox", name), "`bulkhead ps -a` lists them")
	}
	dir := filepath.Join(s.dir, name)
	data, err := os.ReadFile(filepath.Join(dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, fault.WithHint(fmt.Errorf("no sandbox is named %s", name), "`bulkhead ps -a` lists them")
	}
	e := Entry{dir: dir}
	if err == nil {
		err = json.Unmarshal(data, &e.State)
	}
	if err != nil {
		return Entry{}, fault.WithHint(fmt.Errorf("reading the state of sandbox %s: %w", name, err), "bulkhead gc removes what is left of it when it is gone")
	}
	e.Status = status(dir, e.State)
	return e, nil
}

func status(dir string, state State) Status {
	// Opened for reading: whoever looks must not make the lock.
	f, err := os.Open(filepath.Join(dir, lockFile))
	if err == nil {
		defer f.Close()
		if errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK) {
			return Running
		}
	}
	if state.Ended != nil {
		return Exited
	}
	return Crashed
}

// List returns every named sandbox, by name. What cannot be read counts as crashed.
func (s *Store) List() ([]Entry, error) {
	folders, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("listing named sandboxes: %w", err)
	}
	var out []Entry
	for _, f := range folders {
		if strings.HasPrefix(f.Name(), ".") {
			continue
		}
		e, err := s.Find(f.Name())
		if err != nil {
			dir := filepath.Join(s.dir, f.Name())
			e = Entry{State: State{Name: f.Name(), Error: err.Error()}, dir: dir}
			e.Status = status(dir, e.State)
		}
		out = append(out, e)
	}
	return out, nil
}

// Remove removes what is left of a sandbox that is not running.
func (s *Store) Remove(e Entry) error {
	lock, err := lockAt(e.dir)
	for range 5 { // somebody may just have looked at it
		if !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		time.Sleep(10 * time.Millisecond) //nolint:forbidigo // a lock of an instant has no event
		lock, err = lockAt(e.dir)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fault.WithHint(fmt.Errorf("sandbox %s is running", e.Name), fmt.Sprintf("end it first: bulkhead kill %s", e.Name))
	}
	if err == nil {
		defer lock.Close()
	}
	if err := os.RemoveAll(e.dir); err != nil {
		return fmt.Errorf("removing sandbox %s: %w", e.Name, err)
	}
	return nil
}

// Sweep removes what keepers that died while they started left behind.
func (s *Store) Sweep() error {
	left, err := filepath.Glob(filepath.Join(s.dir, ".new-*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		if info, err := os.Stat(dir); err != nil || time.Since(info.ModTime()) < time.Minute {
			continue // it may be about to get its name
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("removing %s: %w", dir, err)
		}
	}
	return nil
}
