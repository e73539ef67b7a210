// Package entry is the code that bulkhead-runsc starts with, before Go does: the
// linker is told so (-E bulkhead_entry). A program that has one thread and has
// set up nothing takes microseconds for what takes gVisor, written in Go, a
// tenth of a sandbox's start. A build without the linker's flag works, later.
//
//   - The sentry and the gofer that the supervisor starts leave out of their
//     bounding set what gVisor leaves out of it at last, 41 system calls on each of
//     their threads in turn. They also give up setpcap, which is how gVisor knows
//     that there is nothing to do. What they end up with is the same.
//   - The process that unmounts /proc when the sentry is set up (`umount
//     --sync-fd=3 /proc`) does so at once.
//   - A supervisor that is parked (see package supervisor) is this code alone: it
//     waits, and then becomes the supervisor again.
package entry

// ran is set by the entry point.
var ran bool //nolint:gochecknoglobals // written before there is Go

// Ran reports whether this process began at the entry point, so that what it does
// is there.
func Ran() bool { return ran }
