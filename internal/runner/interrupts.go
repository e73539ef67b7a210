//go:build linux

package runner

import (
	"context"
	"os"
	"sync"
	"syscall"
)

// interrupts passes signals on to the command. Before there is one, a signal
// ends the run; so does the third interrupt that a command ignores.
type interrupts struct {
	cancel context.CancelCauseFunc
	done   chan struct{}

	mu      sync.Mutex
	forward func(signal int) error // nil: there is no command yet
}

func newInterrupts(signals <-chan os.Signal, cancel context.CancelCauseFunc) *interrupts {
	i := &interrupts{cancel: cancel, done: make(chan struct{})}
	go i.run(signals)
	return i
}

func (i *interrupts) stop() { close(i.done) }

// to passes signals to forward from now on.
func (i *interrupts) to(forward func(signal int) error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.forward = forward
}

func (i *interrupts) run(signals <-chan os.Signal) {
	count := 0
	for {
		select {
		case <-i.done:
			return
		case s := <-signals:
			sig, ok := s.(syscall.Signal)
			if !ok {
				continue
			}
			if sig == syscall.SIGINT || sig == syscall.SIGTERM {
				count++
			}
			i.mu.Lock()
			forward := i.forward
			i.mu.Unlock()
			if forward == nil || count >= patience || forward(int(sig)) != nil {
				i.cancel(signalError{sig})
			}
		}
	}
}
