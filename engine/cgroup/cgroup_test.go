//go:build linux

package cgroup

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/sandbox"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestUnheldGolden: which limits hold where, and what is said of the others.
// cgroup v1 and machines without controllers are tried for real elsewhere (the
// conformance suite, the script of limits); of cgroup v2 with controllers there
// is only this folder that looks like one.
func TestUnheldGolden(t *testing.T) {
	root := t.TempDir()
	v1, v2, bare := filepath.Join(root, "v1"), filepath.Join(root, "v2"), filepath.Join(root, "v2-bare")
	for _, dir := range []string{v1, v2, bare} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for dir, controllers := range map[string]string{v2: "cpuset cpu io memory pids\n", bare: "\n"} {
		if err := os.WriteFile(filepath.Join(dir, "cgroup.controllers"), []byte(controllers), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in := func(dir string) func(string) (string, error) {
		return func(string) (string, error) { return dir, nil }
	}
	var got strings.Builder
	for _, tt := range []struct {
		name string
		host host
	}{
		{"root, cgroup v1", host{parent: in(v1)}},
		{"root, cgroup v1 without memory", host{parent: func(controller string) (string, error) {
			if controller == "memory" {
				return "", errors.New("mountpoint for memory not found")
			}
			return v1, nil
		}}},
		{"root, cgroup v2 (controllers: not proven here)", host{parent: in(v2), unified: true}},
		{"root, cgroup v2 without controllers", host{parent: in(bare), unified: true}},
		{"root, no cgroups", host{parent: func(string) (string, error) { return "", fs.ErrNotExist }}},
		{"an unprivileged user, cgroup v2", host{uid: 1000, parent: in(v2), unified: true}},
	} {
		fmt.Fprintf(&got, "%s\n", tt.name)
		unheld := map[string]error{}
		for _, u := range tt.host.unheld(sandbox.Limits{PIDs: 100, MemoryBytes: 1 << 30, MilliCPUs: 500}) {
			if !errors.Is(u.Err, sandbox.ErrLimit) {
				t.Errorf("%s: %v is no refused limit", tt.name, u.Err)
			}
			unheld[u.Limit] = u.Err
		}
		for _, limit := range []string{sandbox.LimitPIDs, sandbox.LimitMemory, sandbox.LimitCPUs} {
			word := "held"
			if err := unheld[limit]; err != nil {
				word = strings.ReplaceAll(err.Error(), root, "/sys/fs/cgroup")
			}
			fmt.Fprintf(&got, "  %s: %s\n", limit, word)
		}
	}
	golden := filepath.Join("testdata", "unheld.txt")
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("limits (-want +got), with -update if that is meant:\n%s", diff)
	}
}
