package apiserver

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// AgentSandbox is what agent-sandbox needs in a cluster.
type AgentSandbox struct {
	program string
	// CRDs is the folder with its CustomResourceDefinitions.
	CRDs string
}

// BuildAgentSandbox returns agent-sandbox at the version that its module here
// pins, built as Build does.
func BuildAgentSandbox(ctx context.Context, log io.Writer) (AgentSandbox, error) {
	dir, err := moduleDir()
	if err != nil {
		return AgentSandbox{}, err
	}
	const path = "sigs.k8s.io/agent-sandbox"
	module := filepath.Join(filepath.Dir(dir), "agentsandbox")
	built, err := build(ctx, log, module, "agent-sandbox", []string{path + " "}, path+"/cmd/agent-sandbox-controller")
	if err != nil {
		return AgentSandbox{}, err
	}
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", path)
	cmd.Dir = module
	source, err := cmd.Output()
	if err != nil {
		return AgentSandbox{}, fmt.Errorf("finding the source of agent-sandbox: %w", err)
	}
	return AgentSandbox{
		program: filepath.Join(built, "agent-sandbox-controller"),
		CRDs:    filepath.Join(strings.TrimSpace(string(source)), "k8s", "crds"),
	}, nil
}

// StartAgentSandbox runs its controller as the user that kubeconfig names. Its
// CustomResourceDefinitions have to be there.
func (s *Server) StartAgentSandbox(a AgentSandbox, kubeconfig string) error {
	return s.launch(a.program, "--kubeconfig", kubeconfig, "--leader-elect=false", "--metrics-bind-address=0", "--health-probe-bind-address=127.0.0.1:0")
}

// KubeconfigAs writes a configuration in which the administrator acts as a user,
// and returns its path.
func (s *Server) KubeconfigAs(user string) (string, error) {
	text, err := os.ReadFile(s.Kubeconfig())
	if err != nil {
		return "", err
	}
	path := s.file("kubeconfig-" + strings.ReplaceAll(user, ":", "-"))
	return path, os.WriteFile(path, []byte(strings.Replace(string(text), "user: {token:", fmt.Sprintf("user: {as: %q, token:", user), 1)), 0o600)
}
