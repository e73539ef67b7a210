package guest

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// starts are the two ways in which a process is started.
func starts() map[string]func(*spawn) (int, error) {
	return map[string]func(*spawn) (int, error){"vfork": (*spawn).start, "portable": (*spawn).portable}
}

// printed runs a shell command and returns what it printed.
func printed(t *testing.T, start func(*spawn) (int, error), s spawn) (string, error) {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	r, w, err := pipe(0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s.files = [3]*os.File{null, w, w}
	pid, err := start(&s)
	_ = w.Close()
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(pid, &status, 0, nil); err != nil || status.ExitStatus() != 0 {
		t.Fatalf("the command ended with %v, %v and printed %q", status, err, text)
	}
	return strings.TrimSpace(string(text)), nil
}

func TestSpawn(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ name, script, want string }{
		{"environment", `echo "$A$B"`, "12"},
		{"working directory", "pwd", dir},
		{"no signal is blocked, or ignored if it was not before", `while read -r l; do case $l in Sig[BI]*) echo "$l";; esac; done </proc/self/status`,
			"SigBlk:\t0000000000000000\n" + ignored(t)},
		{"a session of its own", `read -r pid name state ppid pgrp sid rest </proc/self/stat; [ $sid = $$ ] && echo $((sid - pgrp))`, "0"},
		{"as many files as on any Linux", "ulimit -Sn", "1024"},
	} {
		for way, start := range starts() {
			t.Run(tt.name+"/"+way, func(t *testing.T) {
				if way == "portable" && strings.HasPrefix(tt.name, "as many") {
					t.Skip("package os restores the limit that the agent was started with")
				}
				got, err := printed(t, start, spawn{paths: []string{"/nonexistent/sh", "/bin/sh"}, argv: []string{"sh", "-c", tt.script}, env: []string{"A=1", "B=2"}, dir: dir})
				if err != nil || got != tt.want {
					t.Errorf("got %q, %v, want %q", got, err, tt.want)
				}
			})
		}
	}
}

// ignored returns the line of the signals that this process ignores: whoever
// started the tests may have chosen some.
func ignored(t *testing.T) string {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "SigIgn:") {
			return strings.TrimSpace(line)
		}
	}
	t.Fatal("no line SigIgn in /proc/self/status")
	return ""
}

func TestSpawnRefused(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte("\x7fELF"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		spawn spawn
		want  error
		inDir bool
	}{
		{"no candidate", spawn{dir: "/"}, syscall.ENOENT, false},
		{"nothing there", spawn{paths: []string{"/nonexistent/a", text + "/b"}, dir: "/"}, syscall.ENOTDIR, false},
		{"not executable, then nothing", spawn{paths: []string{text, "/nonexistent/a"}, dir: "/"}, syscall.EACCES, false},
		{"a folder", spawn{paths: []string{dir}, dir: "/"}, syscall.EACCES, false},
		{"no program", spawn{paths: []string{garbage, "/bin/true"}, dir: "/"}, syscall.ENOEXEC, false},
		{"no working directory", spawn{paths: []string{"/bin/true"}, dir: "/nonexistent"}, syscall.ENOENT, true},
		{"a file as working directory", spawn{paths: []string{"/bin/true"}, dir: text}, syscall.ENOTDIR, true},
		{"a zero byte", spawn{paths: []string{"/bin/true"}, argv: []string{"a\x00b"}, dir: "/"}, syscall.EINVAL, false},
	} {
		for way, start := range starts() {
			t.Run(tt.name+"/"+way, func(t *testing.T) {
				_, err := printed(t, start, tt.spawn)
				if !errors.Is(err, tt.want) || errors.As(err, new(dirError)) != tt.inDir {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); err != syscall.ECHILD {
					t.Errorf("left a child: %d, %v", pid, err)
				}
			})
		}
	}
}
