package cli

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
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
