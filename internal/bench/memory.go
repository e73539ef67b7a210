//go:build linux

package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// pss are proportional set sizes in bytes: what several processes share is
// counted once, and of what others share with them only their part.
type pss struct {
	all   int64
	files int64 // of it mapped files
}

// memoryBelow returns the memory of the processes below pid: of a sandbox that
// is the engine's own processes and those that the guest's code runs in. Some of
// them share one address space (gVisor's, for the threads of one program), which
// counts once.
func memoryBelow(pid int) (pss, error) {
	var sum pss
	var spaces []int // a process of each address space
	for _, below := range descendants(pid) {
		known, err := sharesMemory(below, spaces)
		if err != nil {
			return pss{}, err
		}
		if known {
			continue
		}
		spaces = append(spaces, below)
		one, err := memoryOf(below)
		if err != nil {
			return pss{}, err
		}
		sum.all += one.all
		sum.files += one.files
	}
	return sum, nil
}

// sharesMemory reports whether pid has the address space of one of the others.
// A kernel that cannot tell counts too much rather than too little.
func sharesMemory(pid int, others []int) (bool, error) {
	const vm = 1 // KCMP_VM
	for _, other := range others {
		differs, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(pid), uintptr(other), vm, 0, 0, 0)
		if errno == unix.ENOSYS || errno == unix.ESRCH {
			return false, nil
		}
		if errno != 0 {
			return false, fmt.Errorf("comparing the memory of a sandbox's processes: %w", os.NewSyscallError("kcmp", errno))
		}
		if differs == 0 {
			return true, nil
		}
	}
	return false, nil
}

// memoryOf returns the memory of a process; one that is gone has none.
func memoryOf(pid int) (pss, error) {
	rollup, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH) {
		return pss{}, nil
	}
	if err != nil {
		return pss{}, fmt.Errorf("reading the memory of a sandbox's process: %w", err)
	}
	var out pss
	for line := range strings.Lines(string(rollup)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "Pss: %d kB", &kib); n == 1 {
			out.all = kib << 10
		}
		if n, _ := fmt.Sscanf(line, "Pss_File: %d kB", &kib); n == 1 {
			out.files = kib << 10
		}
	}
	return out, nil
}

// descendants are the processes below pid.
func descendants(pid int) []int {
	var out []int
	for _, c := range children(pid) {
		out = append(append(out, c), descendants(c)...)
	}
	return out
}

func children(pid int) []int {
	var out []int
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		for field := range strings.FieldsSeq(string(text)) {
			if child, err := strconv.Atoi(field); err == nil {
				out = append(out, child)
			}
		}
	}
	return out
}
