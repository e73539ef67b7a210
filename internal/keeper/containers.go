//go:build linux

package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// Container is a container of a pod that is kept.
type Container struct {
	Name   string          `json:"name"`
	Role   pod.Role        `json:"role"`
	Status ContainerStatus `json:"status"`
}

// ContainerStatus is one of waiting, running, ended.
type ContainerStatus string

// The states of a container. One that is started again runs all the while.
const (
	ContainerWaiting ContainerStatus = "waiting"
	ContainerRunning ContainerStatus = "running"
	ContainerEnded   ContainerStatus = "ended"
)

// Environment is what commands in a container start with.
type Environment struct {
	Env []string `json:"env,omitempty"` // K=V, the container's variables: they may hold secrets
	Dir string   `json:"dir,omitempty"`
}

// newState is the state of a sandbox that is about to boot.
func newState(engine sandbox.Engine, req Request) State {
	state := State{
		Name: req.Name, ID: req.Spec.ID, Engine: engine.Name(), Boundary: engine.Boundary(),
		Command: req.Args, Dir: req.Dir, Created: time.Now().UTC(),
	}
	if req.Pod != nil {
		state.Default, state.Apart = req.Pod.Default, req.Pod.Apart
		for _, c := range req.Pod.Containers {
			state.Containers = append(state.Containers, Container{c.Name, c.Role, ContainerWaiting})
		}
	}
	return state
}

// hold keeps the root file systems of containers that start later.
func (k *keeper) hold() error {
	for name, spec := range k.req.Containers {
		held, err := runner.Hold(spec.Root)
		if err != nil {
			return fmt.Errorf("container %s: %w", name, err)
		}
		if held != nil {
			k.held = append(k.held, held)
		}
	}
	return nil
}

func (k *keeper) release() {
	for _, f := range k.held {
		_ = f.Close()
	}
	k.held = nil
}

// join starts one of the pod's containers, and lends its guest agent until it is
// left.
func (k *keeper) join(ctx context.Context, c pod.Container) (*agent.Client, func() error, error) {
	client, end := k.box.Client, func() error { return nil }
	if k.req.Pod.Apart {
		var err error
		if client, end, err = k.joinApart(ctx, c.Name); err != nil {
			return nil, nil, err
		}
	}
	if err := k.note(c.Name, ContainerRunning); err != nil {
		return nil, nil, errors.Join(err, end())
	}
	return client, func() error { return errors.Join(k.note(c.Name, ContainerEnded), end()) }, nil
}

func (k *keeper) joinApart(ctx context.Context, name string) (*agent.Client, func() error, error) {
	box, err := k.box.Join(ctx, k.req.Containers[name])
	if err != nil {
		return nil, nil, err
	}
	number := slices.IndexFunc(k.req.Pod.Containers, func(c pod.Container) bool { return c.Name == name })
	l, err := listen(ctx, filepath.Join(k.dir, fmt.Sprintf(containerSocket, number)))
	if err != nil {
		return nil, nil, errors.Join(err, box.Close(ctx))
	}
	k.served.Go(func() { k.lend(l, box.Client) })
	return box.Client, func() error {
		_ = l.Close()
		return box.Close(ctx)
	}, nil
}

// note writes down how a container is.
func (k *keeper) note(name string, status ContainerStatus) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.state.Containers = slices.Clone(k.state.Containers)
	k.state.Containers[numberOf(k.state, name)].Status = status
	return writeState(k.dir, k.state)
}

func numberOf(s State, container string) int {
	return slices.IndexFunc(s.Containers, func(c Container) bool { return c.Name == container })
}

// tellEnvironment answers with the Environment of a container.
func (k *keeper) tellEnvironment(w http.ResponseWriter, r *http.Request) {
	if p := k.req.Pod; p != nil {
		for _, c := range p.Containers {
			if c.Name == r.PathValue("name") {
				_ = json.NewEncoder(w).Encode(Environment{c.Env, c.Dir})
				return
			}
		}
	}
	http.Error(w, "no such container", http.StatusNotFound)
}

// signalContainer passes a signal on to the command of a container.
func (k *keeper) signalContainer(w http.ResponseWriter, r *http.Request) {
	number := signalNumber(r)
	k.mu.Lock()
	command := k.commands[r.PathValue("name")]
	k.mu.Unlock()
	switch {
	case number == 0:
		http.Error(w, "no such signal", http.StatusBadRequest)
	case command == nil:
		http.Error(w, "its command does not run", http.StatusConflict)
	default:
		if err := command.Signal(r.Context(), number); err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
		}
	}
}

// Environment returns what commands in a container start with.
func (s *Store) Environment(ctx context.Context, e Entry, container string) (env Environment, err error) {
	answer, err := e.ask(ctx, http.MethodGet, "containers", container)
	if err == nil {
		err = json.Unmarshal(answer, &env)
	}
	if err != nil {
		return env, fmt.Errorf("asking for the variables of container %s: %w", container, err)
	}
	return env, nil
}

// GuestSocket is the path of the socket for agent.Dial, of the guest agent that
// runs a container's commands; empty: of the sandbox's.
func (e Entry) GuestSocket(container string) string {
	if container == "" || !e.Apart {
		return filepath.Join(e.dir, guestSocket)
	}
	return filepath.Join(e.dir, fmt.Sprintf(containerSocket, numberOf(e.State, container)))
}

// Container returns the container of this name.
func (e Entry) Container(name string) (Container, bool) {
	i := numberOf(e.State, name)
	if i < 0 {
		return Container{}, false
	}
	return e.Containers[i], true
}

// AwaitContainer waits until a container started, and returns how it is then.
func (s *Store) AwaitContainer(ctx context.Context, e Entry, name string) (Container, error) {
	for {
		now, err := s.Find(e.Name)
		if err != nil {
			return Container{}, err
		}
		c, ok := now.Container(name)
		if !ok || now.ID != e.ID || now.Status != Running {
			return c, fmt.Errorf("sandbox %s ended before its container %s started", e.Name, name)
		}
		if c.Status != ContainerWaiting {
			return c, nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return c, fmt.Errorf("waiting for container %s to start: %w", name, ctx.Err())
		}
	}
}

// AwaitEnd waits until a container, or the sandbox that it is in, is not running
// any more. An empty name is no container's.
func (s *Store) AwaitEnd(ctx context.Context, e Entry, container string) error {
	for {
		now, err := s.Find(e.Name)
		if err != nil || now.ID != e.ID || now.Status != Running {
			return nil //nolint:nilerr // what is not there has ended
		}
		if c, ok := now.Container(container); ok && c.Status == ContainerEnded {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("waiting for the end of sandbox %s: %w", e.Name, ctx.Err())
		}
	}
}
