package arch

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/bulkhead-dev/bulkhead"

// pkg is what `go list -json` says of a package. Paths are relative to the module.
type pkg struct {
	ImportPath  string
	Dir         string
	Imports     []string
	GoFiles     []string
	TestGoFiles []string
	Module      *struct{ Path, Dir string }
}

// goCommand runs the go command in the root of the module and returns its output.
func goCommand(t *testing.T, env []string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root(t)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// packages lists the packages of this module.
func packages(t *testing.T) []pkg {
	t.Helper()
	var out []pkg
	dec := json.NewDecoder(strings.NewReader(string(goCommand(t, nil, "list", "-json", "./..."))))
	for {
		var p pkg
		switch err := dec.Decode(&p); {
		case errors.Is(err, io.EOF):
			return out
		case err != nil:
			t.Fatal(err)
		}
		p.ImportPath = local(p.ImportPath)
		for i, imported := range p.Imports {
			p.Imports[i] = local(imported)
		}
		out = append(out, p)
	}
}

// local names a package of this module by its folder, as "./risk"; others stay.
func local(path string) string {
	if rest, ok := strings.CutPrefix(path, module+"/"); ok {
		return "./" + rest
	}
	return path
}

// allowed is, for each package, which packages of this module it may import.
// It is written by hand: a new arrow in the architecture is a line in review.
// cli composes everything and is imported by main alone; sandboxcli composes
// what makes sandboxes.
func allowed() map[string][]string {
	return map[string][]string{
		// The domain: pure.
		"./risk":       {},
		"./risk/rules": {"./internal/celwire", "./internal/variables", "./risk"},
		"./boundary":   {"./risk"},
		"./sandbox":    {"./boundary"},
		// Manifests in, decisions out.
		"./manifest":        {"./risk"},
		"./internal/config": {"./boundary", "./internal/metadata", "./manifest", "./policy", "./risk", "./risk/rules"},
		"./internal/report": {"./boundary", "./internal/printable", "./risk", "./risk/rules"},
		"./internal/decide": {"./boundary", "./internal/config", "./internal/fault", "./internal/metadata", "./internal/report", "./manifest", "./policy", "./risk", "./risk/rules"},
		"./internal/harden": {"./api/v1alpha1", "./boundary", "./internal/decide", "./internal/printable", "./internal/report", "./manifest", "./policy", "./risk", "./risk/rules"},
		// Charts, kustomizations and clusters to manifests, in a process of its own.
		"./internal/kubewire": {},
		"./internal/render":   {},
		"./internal/cluster":  {},
		"./internal/kubecli":  {"./internal/cluster", "./internal/fault", "./internal/kubewire", "./internal/render", "./internal/version"},
		// Cluster objects: their form, and decisions to them. Pure.
		"./api/v1alpha1": {"./boundary", "./risk"},
		"./policy":       {"./api/v1alpha1", "./boundary", "./internal/metadata", "./risk", "./risk/rules"},
		// What rendered policies make of an object, without a cluster. Pure.
		"./internal/admission": {"./internal/variables", "./policy"},
		// Sandboxes.
		"./image":              {"./internal/fault", "./internal/version", "./sandbox"},
		"./image/imagetest":    {"./internal/testbin"},
		"./engine/oci":         {"./internal/fault", "./sandbox"},
		"./engine/cgroup":      {"./internal/fault", "./sandbox"},
		"./engine/cgroup/oom":  {},
		"./engine/folder":      {"./internal/fault", "./sandbox"},
		"./engine/gvisor":      {"./boundary", "./engine/cgroup", "./engine/folder", "./engine/gvisor/wire", "./engine/oci", "./internal/fault", "./internal/version", "./sandbox"},
		"./engine/gvisor/wire": {"./sandbox"},
		"./engine/runc":        {"./boundary", "./engine/cgroup", "./engine/cgroup/oom", "./engine/folder", "./engine/oci", "./internal/fault", "./sandbox"},
		// Both ends of the stream, and what runs a command over it. The host's end
		// knows no engine: whatever booted the sandbox, the stream is the same.
		"./internal/agentapi": {},
		"./internal/agent":    {"./internal/agentapi"},
		"./internal/archive":  {},
		// A pod as what to run in one sandbox, and how it is read from a manifest. Pure.
		"./internal/podrun":  {"./internal/agent", "./internal/fault", "./internal/pod"},
		"./internal/pod":     {},
		"./internal/podspec": {"./internal/fault", "./internal/pod", "./manifest"},
		"./internal/guest":   {"./internal/agentapi", "./internal/archive", "./internal/version"},
		"./internal/egress":  {"./internal/metadata"},
		"./internal/runner":  {"./boundary", "./internal/agent", "./internal/agentapi", "./internal/egress", "./internal/fault", "./internal/version", "./sandbox"},
		"./internal/keeper":  {"./boundary", "./internal/agent", "./internal/egress", "./internal/fault", "./internal/pod", "./internal/podrun", "./internal/runner", "./sandbox"},
		// Leaves.
		"./internal/fault":     {},
		"./internal/metadata":  {},
		"./internal/gosource":  {},
		"./internal/celwire":   {},
		"./internal/printable": {},
		"./internal/version":   {},
		"./internal/variables": {},
		"./internal/bench":     {"./boundary", "./internal/agent", "./internal/runner", "./sandbox"},
		"./internal/arch":      {},
		// The attacker of the demo: it may know nothing of what it attacks.
		"./examples":         {},
		"./examples/hostile": {},
		"./internal/demo":    {"./boundary", "./internal/printable", "./internal/report", "./internal/runner"},
		// Command lines. That of sandboxes knows no package that decides.
		"./internal/console": {"./internal/fault", "./internal/printable", "./internal/version"},
		"./internal/sandboxcli": {
			"./boundary", "./engine/gvisor", "./engine/runc", "./image", "./internal/agent", "./internal/archive", "./internal/bench", "./internal/console",
			"./internal/egress", "./internal/fault", "./internal/keeper", "./internal/pod", "./internal/podrun", "./internal/printable", "./internal/runner",
			"./internal/version", "./risk", "./sandbox",
		},
		// For tests only.
		"./internal/testbin":    {},
		"./sandbox/sandboxtest": {"./boundary", "./image", "./internal/agent", "./internal/agentapi", "./internal/egress", "./internal/runner", "./internal/testbin", "./sandbox"},
		// Binaries.
		"./cmd/bulkhead":        {"./internal/console", "./internal/sandboxcli"},
		"./cmd/bulkhead-decide": {"./internal/cli", "./internal/console"},
		"./cmd/bulkhead-guest":  {"./internal/guest"},
		"./cmd/bulkhead-kube":   {"./internal/kubecli"},
	}
}

func TestImports(t *testing.T) {
	table := allowed()
	for _, p := range packages(t) {
		if p.ImportPath == "./internal/cli" {
			continue // it composes the others
		}
		may, ok := table[p.ImportPath]
		if !ok {
			t.Errorf("package %s is not in the table of allowed imports: add it, with as few arrows as it needs", p.ImportPath)
			continue
		}
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, "./") && !slices.Contains(may, imported) {
				t.Errorf("%s imports %s, which the architecture does not allow", p.ImportPath, imported)
			}
		}
	}
}

// TestDomainIsPure: the domain decides; it reads no file, starts no process
// and opens no connection, so it gives the same answer everywhere.
func TestDomainIsPure(t *testing.T) {
	doesIO := []string{"os", "os/exec", "os/signal", "net", "net/http", "syscall", "io/ioutil", "golang.org/x/sys/unix", "log", "log/slog"}
	for _, p := range packages(t) {
		if !slices.Contains([]string{"./risk", "./risk/rules", "./boundary", "./api/v1alpha1", "./policy", "./sandbox", "./internal/decide", "./internal/admission", "./internal/harden", "./internal/metadata", "./internal/pod", "./internal/podspec", "./internal/variables", "./internal/report"}, p.ImportPath) {
			continue
		}
		for _, imported := range p.Imports {
			if slices.Contains(doesIO, imported) {
				t.Errorf("%s imports %s: the domain does no I/O", p.ImportPath, imported)
			}
		}
	}
}
