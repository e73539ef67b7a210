//go:build linux

package sandboxcli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/keeper"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

// lent is a named sandbox, or a container of the pod that it runs.
type lent struct {
	keeper.Entry
	container string // empty: it runs no pod
}

// lend finds the sandbox, and the container of it that a flag names. Where none is
// named it is the pod's default, which is said if there are others. It waits for
// a container that has not started yet.
func lend(ctx context.Context, s console.Streams, name, container string) (lent, error) {
	e, err := running(name)
	if err != nil {
		return lent{}, err
	}
	if err := checkContainer(e, container); err != nil {
		return lent{}, err
	}
	l := lent{e, container}
	if container == "" && len(e.Containers) > 0 {
		l.container = e.Default
		if len(e.Containers) > 1 {
			fmt.Fprintf(s.Err, "bulkhead: container %s is taken, of %s; -c names another\n", e.Default, listed(e.Containers))
		}
	}
	if l.container == "" {
		return l, nil
	}
	return l, l.await(ctx, s)
}

// await waits until the container runs.
func (l lent) await(ctx context.Context, s console.Streams) error {
	st, err := store()
	if err != nil {
		return err
	}
	c, _ := l.Container(l.container)
	if c.Status == keeper.ContainerWaiting {
		fmt.Fprintf(s.Err, "bulkhead: waiting for container %s to start\n", c.Name)
		if c, err = st.AwaitContainer(ctx, l.Entry, c.Name); err != nil {
			return fault.WithHint(err, fmt.Sprintf("`bulkhead logs %s` says what happened", l.Name))
		}
	}
	if c.Status != keeper.ContainerRunning {
		return fault.WithHint(fmt.Errorf("container %s of sandbox %s is not running: it %s", c.Name, l.Name, c.Status),
			fmt.Sprintf("name one that runs with -c; `bulkhead ps -o json` lists them, `bulkhead logs -c %s %s` says what it wrote", c.Name, l.Name))
	}
	return nil
}

// client speaks to the guest agent that runs the container's commands.
func (l lent) client() *agent.Client { return agent.Dial(l.GuestSocket(l.container)) }

// complete gives a command the container's variables and folder, under its own.
func (l lent) complete(ctx context.Context, command *agent.Command) error {
	env := keeper.Environment{Dir: l.Dir}
	if l.container != "" {
		st, err := store()
		if err != nil {
			return err
		}
		if env, err = st.Environment(ctx, l.Entry, l.container); err != nil {
			return err
		}
	}
	command.Env = slices.Concat(env.Env, command.Env)
	if command.Dir == "" {
		command.Dir = env.Dir
	}
	return nil
}

// checkContainer refuses a name that no container of the sandbox has; empty: none
// is named.
func checkContainer(e keeper.Entry, name string) error {
	if name == "" {
		return nil
	}
	if len(e.Containers) == 0 {
		return console.UsageError(fmt.Errorf("sandbox %s runs no pod and has no container %q", e.Name, name), "leave out -c")
	}
	if _, ok := e.Container(name); !ok {
		return console.UsageError(fmt.Errorf("the pod of sandbox %s has no container %q", e.Name, name), "it has "+listed(e.Containers))
	}
	return nil
}

// listed names containers as kubectl does.
func listed(containers []keeper.Container) string {
	var names []string
	for _, c := range containers {
		name := c.Name
		switch c.Role {
		case pod.Init:
			name += " (init)"
		case pod.Sidecar:
			name += " (sidecar)"
		case pod.Main:
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// containerFlag adds the flag that names a container.
func containerFlag(cmd *cobra.Command, to *string, what string) {
	cmd.Flags().StringVarP(to, "container", "c", "", what)
	_ = cmd.RegisterFlagCompletionFunc("container", completeContainers)
}

// completeContainers completes the containers of the sandbox that is named.
func completeContainers(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	st, err := store()
	if err != nil || len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	name, _, _ := strings.Cut(args[0], ":")
	e, err := st.Find(name)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, c := range e.Containers {
		names = append(names, c.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
