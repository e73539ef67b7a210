//go:build linux

package sandboxcli

import (
	"context"
	"fmt"

	"github.com/bulkhead-dev/bulkhead/engine/gvisor"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// platformAuto is the value of --platform that leaves the choice to a probe.
const platformAuto = "auto"

// onPlatform returns engine gvisor on the platform that was asked for. KVM that
// was asked for is never replaced: the engine's Probe refuses it.
func (f runFlags) onPlatform(ctx context.Context, s console.Streams, state string) (sandbox.Engine, error) {
	if f.engine != "" && f.engine != "gvisor" {
		return nil, runUsage(fmt.Sprintf("--platform is of engine gvisor, not %q", f.engine), "leave out --platform, or take --engine gvisor")
	}
	switch f.platform {
	case gvisor.Systrap, gvisor.KVM:
		return namedEngine(state, "gvisor", f.platform)
	case platformAuto:
		engine, err := namedEngine(state, "gvisor", gvisor.KVM)
		if err != nil {
			return nil, err
		}
		reason := engine.Probe(ctx)
		if reason == nil {
			return engine, nil
		}
		fmt.Fprintf(s.Err, "bulkhead: platform systrap: %v\n", reason)
		return namedEngine(state, "gvisor", gvisor.Systrap)
	}
	return nil, runUsage(fmt.Sprintf("--platform %q is not systrap, kvm or auto", f.platform), "see `bulkhead run --help`")
}

// platformOf is the platform of an engine that has several, for another process.
func platformOf(e sandbox.Engine) string {
	if e, ok := e.(*gvisor.Engine); ok {
		return e.Platform()
	}
	return ""
}
