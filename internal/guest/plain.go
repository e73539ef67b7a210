package guest

import (
	"os"
	"strings"
	"syscall"
)

// Files that the agent opens at its start. Package os offers each file that it
// opens to the poller, which takes five system calls more, and refuses these.

// readLine returns the only line of a short file; empty: it cannot be read.
func readLine(name string) string {
	fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = syscall.Close(fd) }()
	var line [128]byte
	n, err := syscall.Read(fd, line[:])
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(line[:n]))
}

// openNull opens the null device; nil: it cannot be opened.
func openNull() *os.File {
	fd, err := syscall.Open(os.DevNull, syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), os.DevNull)
}
