//go:build linux

package sandboxcli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/bulkhead-dev/bulkhead/image"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// podOf reads the pod of a plan: as one whose containers share a root file system
// where they can, and apart where they cannot. together says why they cannot.
func (f runFlags) podOf(plan Plan) (p *pod.Pod, together, err error) {
	if p, err = plan.Pod(false); err == nil {
		if err = f.oneImage(p); err == nil {
			return p, nil, nil
		}
	}
	if !errors.Is(err, pod.ErrTogether) {
		return nil, nil, err
	}
	together = err
	if p, err = plan.Pod(true); err != nil {
		return nil, nil, fault.WithHint(fmt.Errorf("%w; nor with its containers apart: %w", together, err), fault.Hint(err))
	}
	return p, together, nil
}

// differentImages is a pod.ErrTogether.
type differentImages struct{ pod, one, other string }

func (e differentImages) Error() string {
	return fmt.Sprintf("pod %s cannot be run here: its containers have different images, %s and %s, and share one root file system here", e.pod, e.one, e.other)
}

func (differentImages) Is(target error) bool { return target == pod.ErrTogether }

// oneImage refuses containers that cannot have the same root file system.
func (f runFlags) oneImage(p *pod.Pod) error {
	one := p.Containers[0].Image
	for _, c := range p.Containers {
		if f.image == "" && c.Image != one {
			return fault.WithHint(differentImages{p.Name, one, c.Image}, "--image REF runs all of them in one root file system")
		}
	}
	return nil
}

// keepsApart refuses a pod whose containers have to be apart where they would
// not be. together says why they have to be; nil: they need not.
func keepsApart(engine sandbox.Engine, together error) error {
	if _, able := engine.(sandbox.PodEngine); together != nil && !able {
		return fault.WithHint(together, fault.Hint(together)+"; or --engine gvisor, which keeps the containers apart")
	}
	return nil
}

// placePod opens the root file systems of a pod, and says what the sandbox and its
// containers are made from.
func (f runFlags) placePod(ctx context.Context, s console.Streams, r *podRun) error {
	if r.pod.Apart {
		return f.placeApart(ctx, s, r)
	}
	root, err := f.podRoot(ctx, s, r.pod)
	if err != nil {
		return err
	}
	r.roots = []*rootfs{root}
	r.req.Spec = root.spec
	return f.podPlace(s, &r.req.Spec, r.pod, pod.Own{Volumes: r.pod.Volumes, Security: r.pod.Security})
}

// placeApart does it where each container has its own.
func (f runFlags) placeApart(ctx context.Context, s console.Streams, r *podRun) error {
	r.specs = map[string]sandbox.Spec{}
	r.req.Pod = &sandbox.Pod{Containers: len(r.pod.Containers)}
	if n := len(r.pod.Containers); n > sandbox.MaxContainers {
		return fault.WithHint(fmt.Errorf("pod %s cannot be run here: it has %d containers, and a sandbox at most %d", r.pod.Name, n, sandbox.MaxContainers), "make several pods of it")
	}
	for i := range r.pod.Containers {
		c := &r.pod.Containers[i]
		root, err := f.containerRoot(ctx, s, *c)
		if err != nil {
			return fmt.Errorf("container %s: %w", c.Name, err)
		}
		r.roots = append(r.roots, root)
		if err := root.complete(r.pod, c); err != nil {
			return err
		}
		if err := f.podPlace(s, &root.spec, r.pod, c.Own); err != nil {
			return fmt.Errorf("container %s: %w", c.Name, err)
		}
		root.spec.ID = c.Name
		for _, t := range root.spec.Tmpfs {
			if t.Shared != "" && !slices.ContainsFunc(r.req.Pod.Shared, func(has sandbox.Shared) bool { return has.Name == t.Shared }) {
				r.req.Pod.Shared = append(r.req.Pod.Shared, sandbox.Shared{Name: t.Shared, Mode: t.Mode, SizeBytes: t.SizeBytes, User: t.User})
			}
		}
		r.specs[c.Name] = root.spec
	}
	// The sandbox's own guest agent sees every container's processes: it is alone,
	// as a user without rights, and nothing of the pod's is there.
	r.req.Spec = newSpec(r.roots[0].spec.Root, image.User(), []string{defaultPath})
	r.req.Spec.Tmpfs = nil
	return nil
}

// folders are the sizes of the containers' own folders in memory, and of those
// that they share.
func (r podRun) folders() []*int64 {
	var out []*int64
	for _, spec := range r.specs {
		for i := range spec.Tmpfs {
			out = append(out, &spec.Tmpfs[i].SizeBytes)
		}
	}
	if r.req.Pod != nil {
		for i := range r.req.Pod.Shared {
			out = append(out, &r.req.Pod.Shared[i].SizeBytes)
		}
	}
	return out
}

// join starts containers in a sandbox; nil: they do not need it.
func (r podRun) join(box *runner.Box) func(context.Context, pod.Container) (*agent.Client, func() error, error) {
	if !r.pod.Apart {
		return nil
	}
	return func(ctx context.Context, c pod.Container) (*agent.Client, func() error, error) {
		joined, err := box.Join(ctx, r.specs[c.Name])
		if err != nil {
			return nil, nil, err
		}
		return joined.Client, func() error { return joined.Close(ctx) }, nil
	}
}
