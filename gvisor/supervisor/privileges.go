package supervisor

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// keptCapabilities are what the end of a sandbox takes: its mounts and cgroup
// are taken down, its processes ended, its folder removed.
func keptCapabilities() []int {
	return []int{unix.CAP_SYS_ADMIN, unix.CAP_KILL, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER}
}

// dropPrivileges leaves every thread of this process with keptCapabilities, and
// without a way to gain others: neither a program that it executes nor a file's
// capabilities give any. It is for the time when the sandbox runs.
func dropPrivileges() error {
	if _, _, errno := syscall.AllThreadsSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("giving up new privileges: %w", errno)
	}
	var kept [2]uint32
	for _, c := range keptCapabilities() {
		kept[c/32] |= 1 << (c % 32)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("reading capabilities: %w", err)
	}
	for i, has := range data {
		data[i] = unix.CapUserData{Effective: has.Permitted & kept[i], Permitted: has.Permitted & kept[i]}
	}
	if _, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data[0])), 0); errno != 0 {
		return fmt.Errorf("giving up capabilities: %w", errno)
	}
	return nil
}
