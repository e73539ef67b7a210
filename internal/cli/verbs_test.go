//go:build linux

package cli

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/sandboxcli"
	"github.com/bulkhead-dev/bulkhead/internal/testbin"
)

// deciding are the verbs of this package, for which `bulkhead` becomes
// bulkhead-decide. A verb that is new stands here or in the table of sandboxcli.
func deciding() []string { return []string{"check", "demo", "explain", "harden", "policy", "rules"} }

// TestVerbs: each verb of the tree is called in the table what it is called in
// the tree, and is either a sandbox's or one that decides.
func TestVerbs(t *testing.T) {
	var tree []string
	for _, cmd := range newRoot(console.Streams{}).Commands() {
		tree = append(tree, cmd.Name())
		if len(cmd.Aliases) > 0 {
			t.Errorf("%s has aliases, which the table of sandboxcli would not know", cmd.Name())
		}
	}
	want := slices.Concat(sandboxcli.Verbs(), deciding())
	slices.Sort(tree)
	slices.Sort(want)
	if diff := cmp.Diff(want, tree); diff != "" {
		t.Errorf("verbs (-table +tree):\n%s", diff)
	}
}

// TestSameHelp: what `bulkhead` prints of its own verbs is what the whole
// command line prints of them.
func TestSameHelp(t *testing.T) {
	for _, verb := range sandboxcli.Verbs() {
		for _, args := range [][]string{{verb, "--help"}, {verb, "--no-such-flag"}} {
			var both [2][2]string
			var codes [2]int
			for i, main := range []func(console.Streams) int{
				func(s console.Streams) int { return Main(t.Context(), args, s) },
				func(s console.Streams) int { return sandboxcli.Main(t.Context(), args, s) },
			} {
				var out, errs bytes.Buffer
				codes[i] = main(console.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
				both[i] = [2]string{out.String(), errs.String()}
			}
			if both[0] != both[1] || codes[0] != codes[1] || both[0] == [2]string{} {
				t.Errorf("%v (-whole +own), codes %v:\n%s", args, codes, cmp.Diff(both[0], both[1]))
			}
		}
	}
}

// TestHandOver runs the real pair of binaries: what is handed over, however it is
// spelt, and what becomes of it where the other binary is missing or of another version.
func TestHandOver(t *testing.T) {
	bulkhead := testbin.Path(t, "bulkhead")
	dir := t.TempDir()
	testbin.Copy(t, bulkhead, filepath.Join(dir, "bulkhead"))
	run := func(program string, env []string, args ...string) (int, string) {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = append([]string{"HOME=" + dir, "PATH=/nowhere", "XDG_RUNTIME_DIR=" + dir}, env...)
		out, err := cmd.CombinedOutput()
		return exitCode(t, err), string(out)
	}
	for _, tt := range []struct {
		code int
		said string
		args []string
	}{
		{2, "", []string{"check", "/no/such/file"}},
		{2, "", []string{"no-such-verb"}},
		{2, "", []string{"--help"}},
		{2, "", nil},
		{2, "", []string{"help", "run"}},
		{2, "", []string{"__complete", "run", "--"}},
		{125, "", []string{"run", "-f", "pod.yaml"}},
		{125, "", []string{"run", "-fpod.yaml"}},
		{125, "", []string{"run", "-itfpod.yaml"}},
		{125, "", []string{"run", "--file=pod.yaml", "--", "true"}},
		{125, "", []string{"run", "--engine", "runc", "--file", "pod.yaml"}},
		{125, "no command given", []string{"run", "-e", "-f"}},
		{125, `unknown engine "-f"`, []string{"run", "--engine", "-f", "--", "true"}},
		{0, "bulkhead devel", []string{"version"}},
	} {
		said := "bulkhead: bulkhead-decide not found, which has this verb\n  next: put it beside the bulkhead binary or on PATH"
		if tt.said != "" {
			said = tt.said
		}
		if code, out := run(filepath.Join(dir, "bulkhead"), nil, tt.args...); code != tt.code || !strings.Contains(out, said) {
			t.Errorf("alone, %v: code %d, want %d with %q\n%s", tt.args, code, tt.code, said, out)
		}
	}
	for _, args := range [][]string{{"run", "-f", "/no/such.yaml"}, {"run", "-itf/no/such.yaml"}} {
		if code, out := run(bulkhead, nil, args...); code != 125 || !strings.Contains(out, "reading the manifest: open /no/such.yaml") {
			t.Errorf("%v: code %d\n%s", args, code, out)
		}
	}
	if code, out := run(testbin.Path(t, "bulkhead-decide"), []string{"BULKHEAD_CALLER_VERSION=v0"}, "rules"); code != 2 || !strings.Contains(out, "bulkhead-decide is of version devel, bulkhead of v0") {
		t.Errorf("called by another version: code %d\n%s", code, out)
	}
	testbin.Copy(t, bulkhead, filepath.Join(dir, "bulkhead-decide"))
	if code, out := run(filepath.Join(dir, "bulkhead"), nil, "rules"); code != 2 || !strings.Contains(out, "bulkhead-decide is another program of this name") {
		t.Errorf("handed over to itself: code %d\n%s", code, out)
	}
}
