package guest

import (
	"runtime"
	"sync"
)

// Threads of the agent. The Go runtime ends a program that cannot have one more,
// and code in the sandbox can use up all that its limit of processes allows: so
// the agent takes its threads before any such code runs, and keeps them.
const (
	// maxProcs is how many threads run Go code at a time, on large machines too.
	maxProcs = 4
	// spareThreads are for system calls that block, and for the runtime itself.
	spareThreads = 8
)

// reserveThreads makes threads, which go on idle. The runtime gives none back.
func reserveThreads() {
	procs := min(runtime.GOMAXPROCS(0), maxProcs)
	runtime.GOMAXPROCS(procs)
	var locked sync.WaitGroup
	free := make(chan struct{})
	for range procs + spareThreads {
		locked.Add(1)
		go func() {
			runtime.LockOSThread() // a thread of its own as long as it waits
			defer runtime.UnlockOSThread()
			locked.Done()
			<-free
		}()
	}
	locked.Wait()
	close(free)
}
