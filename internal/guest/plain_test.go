package guest

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReadLine(t *testing.T) {
	const bootID = "/proc/sys/kernel/random/boot_id"
	want, err := os.ReadFile(bootID)
	if err != nil {
		t.Fatal(err)
	}
	if got := readLine(bootID); got == "" || got != strings.TrimSpace(string(want)) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := readLine(filepath.Join(t.TempDir(), "none")); got != "" {
		t.Errorf("a file that is not there: %q", got)
	}
}

func TestOpenNull(t *testing.T) {
	null := openNull()
	if null == nil {
		t.Fatal("not opened")
	}
	defer null.Close()
	if _, err := null.Write([]byte("gone")); err != nil {
		t.Error(err)
	}
	if _, err := null.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("reading it: %v", err)
	}
}
