//go:build linux

// Package cgroup knows where the control group of a sandbox is: one group below
// the caller's own (cgroup v1), or beside it (cgroup v2, where a group with
// processes has none below it). Limits that are set for the caller go on to
// hold in the first case, those of the group above the caller in the second.
//
// The runtimes make, join and remove the group. Both take a relative path to
// mean this place.
package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// unifiedRoot is where cgroup v2 is mounted when nothing else is.
const unifiedRoot = "/sys/fs/cgroup"

// Path is the relative path that names the group of a sandbox to a runtime.
func Path(id string) string { return "bulkhead-" + id }

// host is what of a machine decides which limits can be held.
type host struct {
	uid     int
	unified bool // cgroup v2 alone
	// parent returns the folder in which groups of a controller are made.
	parent func(controller string) (string, error)
}

func thisHost() host {
	return host{uid: os.Geteuid(), unified: cgroups.IsCgroup2UnifiedMode(), parent: parent}
}

// parent returns the folder in which groups of a controller are made.
func parent(controller string) (string, error) {
	if !cgroups.IsCgroup2UnifiedMode() {
		return cgroups.GetOwnCgroupPath(controller)
	}
	own, err := cgroups.ParseCgroupFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	return filepath.Join(unifiedRoot, filepath.Dir(own[""])), nil
}

// Dir is the folder of a sandbox's group. With cgroup v1 each controller has
// groups of its own.
func Dir(controller, id string) (string, error) {
	dir, err := parent(controller)
	return filepath.Join(dir, Path(id)), err
}

// Unheld returns those of the limits that no cgroup of the caller's can hold.
// Zero is no limit.
func Unheld(l sandbox.Limits) []sandbox.Unheld { return thisHost().unheld(l) }

func (h host) unheld(l sandbox.Limits) []sandbox.Unheld {
	var out []sandbox.Unheld
	for _, limit := range []struct {
		name, controller string
		value            int64
	}{
		{sandbox.LimitPIDs, "pids", l.PIDs},
		{sandbox.LimitMemory, "memory", l.MemoryBytes},
		{sandbox.LimitCPUs, "cpu", l.MilliCPUs},
	} {
		if limit.value == 0 {
			continue
		}
		if err := h.usable(limit.controller); err != nil {
			out = append(out, sandbox.Unheld{Limit: limit.name, Err: fault.WithHint(
				fmt.Errorf("%s cannot be limited: %w: %w", limit.name, err, sandbox.ErrLimit),
				"run as root where cgroups can be made, or accept that it does not hold: --limits=best-effort")})
		}
	}
	return out
}

// usable says why the caller cannot limit sandboxes by a controller; nil: it
// can, as far as one can see without trying.
func (h host) usable(controller string) error {
	if h.uid != 0 {
		return errors.New("an unprivileged user makes no cgroups")
	}
	dir, err := h.parent(controller)
	if err != nil {
		return fmt.Errorf("no cgroup controller %s here: %w", controller, err)
	}
	if err := unix.Access(dir, unix.W_OK); err != nil {
		return fmt.Errorf("no cgroup can be made in %s: %w", dir, err)
	}
	if !h.unified {
		return nil
	}
	has, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return fmt.Errorf("reading the cgroup controllers: %w", err)
	}
	if !slices.Contains(strings.Fields(string(has)), controller) {
		return fmt.Errorf("no cgroup controller %s in %s", controller, dir)
	}
	return nil
}

// SwapLimited reports whether this kernel counts swap, so that a limit of memory
// can include it.
func SwapLimited() bool {
	file := "/proc/swaps" // cgroup v2 counts swap wherever there can be any
	if !cgroups.IsCgroup2UnifiedMode() {
		dir, err := parent("memory")
		if err != nil {
			return false
		}
		file = filepath.Join(dir, "memory.memsw.limit_in_bytes")
	}
	_, err := os.Stat(file)
	return err == nil
}
