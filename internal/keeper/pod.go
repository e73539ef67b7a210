//go:build linux

package keeper

import (
	"context"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
	"github.com/bulkhead-dev/bulkhead/internal/podrun"
)

// keepPod runs the containers of a pod to their end, and logs what they write.
func (k *keeper) keepPod(ctx context.Context, p *pod.Pod) (int, error) {
	signals := make(chan os.Signal, 8)
	k.mu.Lock()
	k.signals = signals
	k.mu.Unlock()
	notices := k.log.stream(Notice)
	for _, note := range p.Notes {
		fmt.Fprintln(notices, note)
	}
	return podrun.Run(ctx, k.box.Client, podrun.Request{
		Pod:     p,
		Join:    k.join,
		Running: func(c pod.Container, p *agent.Process) { k.mu.Lock(); defer k.mu.Unlock(); k.commands[c.Name] = p },
		Signals: signals,
		Notice:  func(message string) { fmt.Fprintln(notices, message) },
		Output: func(c pod.Container) (stdout, stderr io.Writer) {
			name := c.Name
			if len(p.Containers) == 1 {
				name = "" // there is no other
			}
			return logStream{k.log, Stdout, name}, logStream{k.log, Stderr, name}
		},
	})
}

// signalPod passes a signal on to a pod; false: the sandbox has none.
func (k *keeper) signalPod(number int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.signals == nil {
		return false
	}
	select {
	case k.signals <- syscall.Signal(number):
	default: // as many as that are under way
	}
	return true
}
