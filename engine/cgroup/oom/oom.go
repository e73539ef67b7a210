// Package oom reads what the kernel killed in a control group. It is apart from
// package cgroup because bulkhead-runsc uses it, which is built from gVisor's
// own dependencies.
package oom

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Kills returns how many processes in a group the kernel killed because its
// limit of memory was reached. dir is the group's folder, with cgroup v1 that of
// the memory controller.
func Kills(dir string) (int, error) {
	text, err := os.ReadFile(filepath.Join(dir, "memory.events")) // cgroup v2
	if errors.Is(err, fs.ErrNotExist) {
		text, err = os.ReadFile(filepath.Join(dir, "memory.oom_control"))
	}
	if err != nil {
		return 0, fmt.Errorf("reading what was killed for memory: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if key, value, _ := strings.Cut(lines.Text(), " "); key == "oom_kill" {
			return strconv.Atoi(value)
		}
	}
	return 0, fmt.Errorf("reading what was killed for memory: %s has no counter", dir)
}
