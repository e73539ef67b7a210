//go:build linux

package gvisor

import (
	"strings"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// TestCommand: the exact command on the host. A cgroup costs time: there is one
// only where a limit needs it.
func TestCommand(t *testing.T) {
	e := &Engine{config: Config{Supervisor: "/bin/bulkhead-runsc", Platform: KVM}, parkAfter: 3 * time.Second}
	const plain = "/bin/bulkhead-runsc supervise --bundle /state/gvisor-box --id box --state /state/gvisor-box/state --platform kvm"
	const parked = " --park-after 3s"
	for _, tt := range []struct {
		limits     sandbox.Limits
		containers int
		want       string
	}{
		{sandbox.Limits{}, 0, plain + parked},
		{sandbox.Limits{PIDs: 100}, 0, plain + parked},
		{sandbox.Limits{MemoryBytes: 1 << 30}, 0, plain + " --cgroups" + parked},
		{sandbox.Limits{MilliCPUs: 500}, 0, plain + " --cgroups" + parked},
		{sandbox.Limits{}, 3, plain + " --containers 3"},
	} {
		cmd := e.command("/state/gvisor-box", sandbox.Spec{ID: "box", Limits: tt.limits}, tt.containers)
		if got := strings.Join(cmd.Args, " "); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.limits, got, tt.want)
		}
	}
}
