package console

import (
	"os"
	"os/exec"
	"path/filepath"
)

// Companion finds a binary beside this one, then on PATH; "" when it is in neither.
func Companion(name string) string {
	if exe, err := os.Executable(); err == nil {
		if exe, err = filepath.EvalSymlinks(exe); err == nil {
			beside := filepath.Join(filepath.Dir(exe), name)
			if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
				return beside
			}
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	// Engines start it from other folders.
	if path, err = filepath.Abs(path); err != nil {
		return ""
	}
	return path
}
