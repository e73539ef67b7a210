// Package sandboxcli has the verbs of `bulkhead` that make and use sandboxes on
// this machine, one file a verb. It decides nothing and links nothing that does:
// a manifest is decided about by who composes the command line.
package sandboxcli

import (
	"io"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
	"github.com/bulkhead-dev/bulkhead/risk"
)

// Decider is the binary that has the whole command line.
const Decider = "bulkhead-decide"

// Manifest is what `bulkhead run -f` is to run.
type Manifest struct {
	File     string // "-": standard input
	Workload string // NAME or KIND/NAME; empty: its only one
	Config   string // of routes and waivers; empty: found upwards from File
}

// Plan is what was decided about the pod of a manifest.
type Plan struct {
	// Pod reads the pod as one whose containers share a root file system, user and
	// processes, or are apart. An error that says that the containers cannot share
	// them is pod.ErrTogether.
	Pod     func(apart bool) (*pod.Pod, error)
	File    string
	Subject string // KIND/NAME, fit for a terminal
	Class   risk.Class
	// Required is the boundary by the route, and Reason says why; Runtimes are
	// those that the route names.
	Required boundary.Boundary
	Reason   string
	Runtimes []boundary.Runtime
	// Accepted is the weakest boundary that may be used: Required, or a weaker
	// one by Waiver, which is to be said where what runs is weaker.
	Accepted boundary.Boundary
	Waiver   string
}

// Planner reads and decides about a manifest. The verbs of sandboxes decide
// nothing themselves.
type Planner func(stdin io.Reader, m Manifest) (Plan, error)

// Parts are what differs between the binaries that have these verbs.
type Parts struct {
	Plan Planner
	// Keeper is the binary that keeps named sandboxes, beside this one or on PATH;
	// empty: this one.
	Keeper string
}
