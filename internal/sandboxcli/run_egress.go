//go:build linux

package sandboxcli

import (
	"fmt"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/egress"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
)

// egress makes the way out that --allow asks for; nil: none. Each denial is
// said once.
func (f runFlags) egress(s console.Streams) (*egress.Proxy, error) {
	if len(f.allow) == 0 {
		return nil, nil
	}
	rules, err := egress.ParseRules(f.allow)
	if err != nil {
		return nil, runUsage("--allow "+err.Error(), "write a host and, unless it is 443, a port: --allow pypi.org, --allow db.internal:5432, --allow 10.0.0.0/8:443")
	}
	return egress.New(rules, func(d egress.Denial) {
		fix := ""
		if d.Fix != "" {
			fix = fmt.Sprintf(" (to allow it: --allow %s)", d.Fix)
		}
		fmt.Fprintf(s.Err, "bulkhead: egress denied: %s\n", printable.Lines(fmt.Sprintf("%s: %s%s", d.Target, d.Reason, fix)))
	}), nil
}
