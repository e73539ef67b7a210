package apiserver

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// kubectl runs it as the administrator and returns what it printed.
func kubectl(t *testing.T, s *Server, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := s.Kubectl(t.Context(), args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// eventually runs kubectl until it prints what is wanted.
func eventually(t *testing.T, s *Server, want string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		out, err := kubectl(t, s, "", args...)
		if err == nil && strings.Contains(out, want) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("kubectl %s: %v, no %q in %q\n%s\n%s", args, err, want, out, s.lastWords("kube-controller-manager"), s.lastWords("agent-sandbox-controller"))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

const workloads = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec: {selector: {matchLabels: {from: deployment}}, template: {metadata: {labels: {from: deployment}}, spec: {containers: [{name: c, image: nginx}]}}}
---
apiVersion: agents.x-k8s.io/v1alpha1
kind: Sandbox
metadata: {name: box}
spec: {podTemplate: {metadata: {labels: {from: sandbox}}, spec: {containers: [{name: c, image: python}]}}}
`

// TestControllers: a Deployment and an agent-sandbox Sandbox become pods, and
// the API server can be killed and started again with what it had.
func TestControllers(t *testing.T) {
	bin, err := Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	agents, err := BuildAgentSandbox(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(t.Context(), bin, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := s.StartControllers(); err != nil {
		t.Fatal(err)
	}
	const user = "system:serviceaccount:agent-sandbox-system:controller"
	for _, args := range [][]string{
		{"apply", "--server-side", "-f", agents.CRDs},
		{"create", "clusterrolebinding", "agent-sandbox", "--clusterrole=cluster-admin", "--user=" + user},
	} {
		if out, err := kubectl(t, s, "", args...); err != nil {
			t.Fatal(args, out)
		}
	}
	// kubectl fails on one whose status is still empty.
	eventually(t, s, "condition met", "wait", "--for=condition=Established", "--timeout=10s", "crd", "--all")
	kubeconfig, err := s.KubeconfigAs(user)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.StartAgentSandbox(agents, kubeconfig); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, "default", "get", "serviceaccounts", "-o", "name")
	if out, err := kubectl(t, s, workloads, "apply", "-f", "-"); err != nil {
		t.Fatal(out)
	}
	eventually(t, s, "pod/", "get", "pods", "-l", "from=deployment", "-o", "name")
	eventually(t, s, "pod/box", "get", "pods", "-l", "from=sandbox", "-o", "name")

	if err := s.KillAPIServer(); err != nil {
		t.Fatal(err)
	}
	if out, err := kubectl(t, s, "", "get", "pods", "--request-timeout=5s"); err == nil {
		t.Errorf("a killed API server answers: %s", out)
	}
	if err := s.StartAPIServer(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	eventually(t, s, "pod/box", "get", "pods", "-o", "name")
}
