//go:build tools

// Package agentsandbox pins agent-sandbox's controller, which the tests of
// test/cluster build and run. It does not compile with the Kubernetes that they
// build, so it has a module of its own; nothing imports it.
package agentsandbox

import (
	_ "sigs.k8s.io/agent-sandbox/cmd/agent-sandbox-controller"
)
