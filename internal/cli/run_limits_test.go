//go:build linux

package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/testbin"
)

// TestLimitsUnprivileged: what a user without root cannot have behind runc is
// refused when it was asked for, and left out with a word when it is a default.
func TestLimitsUnprivileged(t *testing.T) {
	testbin.Installed(t, "runc")
	i := install(t, unprivileged)
	for _, tt := range []struct {
		args         []string
		code         int
		stdout, said string
	}{
		{[]string{"--engine", "runc", "--pids-limit", "100"}, 125, "", "--limits=best-effort"},
		{[]string{"--engine", "runc"}, 0, "ran\n", "processes cannot be limited"},
		{[]string{"--engine", "runc", "--pids-limit", "0"}, 0, "ran\n", ""},
		{[]string{"--engine", "gvisor", "--memory", "64m"}, 125, "", "memory cannot be limited: an unprivileged user makes no cgroups"},
		{[]string{"--engine", "gvisor", "--cpus", "1", "--limits", "best-effort"}, 0, "ran\n", "CPUs cannot be limited"},
		{[]string{"--engine", "gvisor", "--pids-limit", "100"}, 0, "ran\n", ""},
	} {
		cmd := i.command(append(append([]string{"run", "--min-boundary", "shared-kernel"}, tt.args...), "--", "echo", "ran")...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if code := exitCode(t, cmd.Run()); code != tt.code || stdout.String() != tt.stdout {
			t.Errorf("%v: code %d, output %q, want %d and %q: %s", tt.args, code, stdout.String(), tt.code, tt.stdout, stderr.String())
		}
		if said := stderr.String(); !strings.Contains(said, tt.said) || tt.said == "" && said != "" {
			t.Errorf("%v: standard error %q, want %q", tt.args, said, tt.said)
		}
	}
}
