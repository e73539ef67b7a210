//go:build linux

package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/agent"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// Subject is a runtime that can be measured here: each round boots a sandbox of
// its own, and runs a command in it twice.
type Subject struct {
	Engine sandbox.Engine
	// Spec is a sandbox; its ID is replaced in each round.
	Spec sandbox.Spec

	cold, warm Series
	pss        []int64
	kernel     string
	own        bool // in every round the guest had another kernel than the host
}

// Cold returns the timing of a boot: from the engine's first step to the first
// byte of a command's output, the check of the boundary included.
func (s *Subject) Cold() Case {
	s.own = true
	return Case{Name: s.Engine.Name(), Once: s.once}
}

// Result returns what the rounds measured. control says whether the check of
// kernels was seen failing on a shared kernel in the same run.
func (s *Subject) Result(cold Series, control bool) Measured {
	s.cold = cold
	m := Measured{ColdMillis: millis(cold), WarmMillis: millis(s.warm), PSSBytes: s.pss, Kernel: s.kernel}
	switch {
	case s.Engine.Boundary() == boundary.SharedKernel:
		m.Verdict, m.Proof = "proven", "the guest has this machine's boot id: the kernel is shared"
	case s.own && control:
		m.Verdict, m.Proof = "proven", "another boot id than this machine's in every round; the same check refutes runc"
	default:
		m.Verdict, m.Proof = "unknown", "another boot id than this machine's in every round, without runc as the control"
	}
	return m
}

// Control reports whether the guest was seen to have this machine's own kernel.
func (s *Subject) Control() bool { return !s.own }

func (s *Subject) once(ctx context.Context) (took time.Duration, err error) {
	s.Spec.ID = "bench-" + strings.ToLower(rand.Text()[:10])
	begin := time.Now()
	box, err := runner.Boot(ctx, runner.Place{Engine: s.Engine, Spec: s.Spec, Minimum: s.Engine.Boundary()})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, box.Close(ctx)) }()
	first, err := firstByte(ctx, box.Client)
	if err != nil {
		return 0, err
	}
	took = first.Sub(begin)
	begin = time.Now()
	if first, err = firstByte(ctx, box.Client); err != nil {
		return 0, err
	}
	s.warm.Samples = append(s.warm.Samples, first.Sub(begin))
	s.kernel = box.Guest.Kernel
	if runner.Verify(boundary.VirtualMachine, box.Guest) != nil {
		s.own = false
		if s.Engine.Boundary() != boundary.SharedKernel {
			return 0, fmt.Errorf("the guest has this machine's own kernel: %w", sandbox.ErrBoundary)
		}
	}
	memory, err := memoryBelow(os.Getpid())
	s.pss = append(s.pss, memory.all)
	return took, err
}

// firstByte runs `echo x` and returns when its output came.
func firstByte(ctx context.Context, c *agent.Client) (time.Time, error) {
	out := &firstWrite{}
	p, err := c.Start(ctx, agent.Command{Args: []string{"/usr/bin/echo", "x"}, Stdout: out, Dir: "/"})
	if err != nil {
		return time.Time{}, err
	}
	exit, err := p.Wait(ctx)
	if err == nil && (out.at.IsZero() || exit.Code != 0) {
		err = fmt.Errorf("echo ended with code %d and printed nothing", exit.Code)
	}
	return out.at, err
}

// firstWrite remembers when it was first written to.
type firstWrite struct{ at time.Time }

func (f *firstWrite) Write(p []byte) (int, error) {
	if f.at.IsZero() {
		f.at = time.Now()
	}
	return len(p), nil
}
