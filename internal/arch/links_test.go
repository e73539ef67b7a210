package arch

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden lists anew")

// TestLinks: the modules that each binary links are written down, so that a new
// dependency (of whose authors the binary then trusts) is a line in review.
func TestLinks(t *testing.T) {
	for _, binary := range []string{"bulkhead", "bulkhead-decide", "bulkhead-guest", "bulkhead-kube"} {
		t.Run(binary, func(t *testing.T) {
			out := goCommand(t, []string{"GOOS=linux", "CGO_ENABLED=0"}, "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./cmd/"+binary)
			modules := strings.Fields(string(out))
			slices.Sort(modules)
			got := strings.Join(slices.Compact(modules), "\n") + "\n"
			golden := filepath.Join("testdata", binary+".modules")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s links other modules than %s says (-want +got); if that is meant: go test ./internal/arch -update\n%s", binary, golden, diff)
			}
		})
	}
}

// TestLeanBinaries: what must not come in by any road.
func TestLeanBinaries(t *testing.T) {
	for binary, banned := range map[string][]string{
		// Its start is paid by every run: measured, these cost more than the work itself.
		// And it is in memory as long as each sandbox: what judges manifests is not.
		"bulkhead": {"gvisor.dev/gvisor", "k8s.io/", "sigs.k8s.io/", "helm.sh/", "github.com/google/cel-go", "github.com/prometheus/", "go.yaml.in/", "github.com/containerd/containerd",
			module + "/internal/cli", module + "/internal/decide", module + "/manifest", module + "/policy", module + "/risk/rules"},
		"bulkhead-decide": {"gvisor.dev/gvisor", "k8s.io/client-go", "sigs.k8s.io/controller-runtime", "helm.sh/helm", "sigs.k8s.io/kustomize", "github.com/containerd/containerd"},
		// It is in every sandbox, beside hostile code.
		"bulkhead-guest": {"k8s.io/", "github.com/spf13/cobra", "github.com/google/cel-go", module + "/engine", module + "/internal/cli", module + "/manifest"},
	} {
		out := goCommand(t, []string{"GOOS=linux", "CGO_ENABLED=0"}, "list", "-deps", "./cmd/"+binary)
		for dep := range strings.FieldsSeq(string(out)) {
			for _, b := range banned {
				if strings.HasPrefix(dep, b) {
					t.Errorf("%s links %s", binary, dep)
				}
			}
		}
	}
}

// TestBuildsOnOtherSystems: the verbs that need no sandbox are for every desk.
func TestBuildsOnOtherSystems(t *testing.T) {
	for _, target := range []string{"GOOS=darwin", "GOOS=windows"} {
		goCommand(t, []string{target, "CGO_ENABLED=0"}, "build", "-buildvcs=false", "-o", os.DevNull, "./cmd/bulkhead")
		goCommand(t, []string{target, "CGO_ENABLED=0"}, "build", "-buildvcs=false", "-o", os.DevNull, "./cmd/bulkhead-kube")
	}
}
