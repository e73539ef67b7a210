package oom

import (
	"os"
	"path/filepath"
	"testing"
)

func TestKills(t *testing.T) {
	for name, tt := range map[string]struct {
		file, text string
		want       int
		ok         bool
	}{
		"v1":         {"memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", 3, true},
		"v2":         {"memory.events", "low 0\nhigh 0\nmax 17\noom 2\noom_kill 1\noom_group_kill 0\n", 1, true},
		"no counter": {"memory.events", "low 0\n", 0, false},
		"no group":   {"other", "", 0, false},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, tt.file), []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := Kills(dir); got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%s: %d, %v, want %d", name, got, err, tt.want)
		}
	}
}
