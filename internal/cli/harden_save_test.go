package cli

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// TestReplace: a file is replaced as a whole, with its mode; one that somebody
// else wrote meanwhile stays theirs.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.yaml")
	if err := os.WriteFile(path, []byte("old\n"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := replace(path, []string{dir}, []byte("older\n"), []byte("new\n")); !errors.Is(err, errChanged) {
		t.Errorf("a file that changed was replaced: %v", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "old\n" {
		t.Errorf("it is %q", text)
	}
	if err := replace(path, []string{dir}, []byte("old\n"), []byte("new\n")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "new\n" || info.Mode().Perm() != 0o640 {
		t.Errorf("it is %q with mode %v", text, info.Mode())
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left behind: %v", entries)
	}
}

// TestChangedMeanwhile: a file that somebody writes after it was read, or after its
// rewriting was planned, stays theirs, and is named.
func TestChangedMeanwhile(t *testing.T) {
	const (
		old    = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {bulkhead.dev/risk-class: retrieval}}\nspec: {containers: [{name: a, image: b}]}\n"
		theirs = "# theirs\n" + old
	)
	for _, late := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "a.yaml")
		write := func(text string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write(old)
		in, err := readInput(t.Context(), console.Streams{Out: io.Discard, Err: io.Discard}, "", inputFlags{renderTimeout: renderTimeout}, []string{path}, false)
		if err != nil {
			t.Fatal(err)
		}
		h := &hardening{texts: map[string][]byte{}, kept: func(manifest.Unit) string { return "" }, input: in}
		if !late {
			write(theirs)
		}
		if err := h.rewrite(); err != nil {
			t.Fatal(err)
		}
		if late {
			write(theirs)
		}
		h.save([]string{path}, "")
		named := false
		for _, e := range h.refused {
			named = named || e.File == path && strings.HasSuffix(e.Reason, "the file changed while it was read")
		}
		if text, _ := os.ReadFile(path); string(text) != theirs || !named {
			t.Errorf("late %v: it is %q; refused: %v", late, text, h.refused)
		}
	}
}
