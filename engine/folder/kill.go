//go:build linux

package folder

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// killTimeout bounds the wait for killed processes.
const killTimeout = 10 * time.Second

// Kill kills the processes of a runtime's program that were started for the
// sandbox with this folder: those that name it in an argument. It returns when
// there are none.
func Kill(program, dir string) error {
	for deadline := time.Now().Add(killTimeout); ; {
		left := processes(filepath.Base(program), dir)
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.New("its processes do not end")
		}
		for _, pid := range left {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		time.Sleep(2 * time.Millisecond) //nolint:forbidigo // they are no children of this process, which no event tells
	}
}

func processes(program, dir string) []int {
	var found []int
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// The program is what tells a runtime's process from one that only
		// speaks of the folder, such as an editor.
		exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if err != nil || filepath.Base(strings.TrimSuffix(exe, " (deleted)")) != program {
			continue
		}
		args, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && names(string(args), dir) {
			found = append(found, pid)
		}
	}
	return found
}

// names reports whether an argument, or the value of a flag, is dir or below it.
func names(cmdline, dir string) bool {
	for arg := range strings.SplitSeq(cmdline, "\x00") {
		if _, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(arg, "-") {
			arg = value
		}
		if arg == dir || strings.HasPrefix(arg, dir+"/") {
			return true
		}
	}
	return false
}
