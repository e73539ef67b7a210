package sandboxcli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/bulkhead-dev/bulkhead/engine/gvisor"
	"github.com/bulkhead-dev/bulkhead/engine/runc"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// engines composes every engine of this build, in the order of preference.
// platform is gVisor's.
func engines(stateDir, platform string) []sandbox.Engine {
	return []sandbox.Engine{
		gvisor.New(gvisor.Config{Supervisor: console.Companion("bulkhead-runsc"), StateDir: stateDir, Platform: platform, DebugLog: os.Getenv("BULKHEAD_DEBUG_LOG")}),
		runc.New(runc.Config{Runc: console.Companion("runc"), StateDir: stateDir}),
	}
}

// StateDir returns the folder for what lives as long as its sandbox: /run for
// root, the user's runtime folder otherwise. It is the caller's own, mode 0700.
func StateDir() (string, error) {
	uid := os.Geteuid()
	dir := "/run/bulkhead"
	if uid != 0 {
		base := os.Getenv("XDG_RUNTIME_DIR")
		if base != "" {
			dir = filepath.Join(base, "bulkhead")
		} else {
			dir = filepath.Join(os.TempDir(), "bulkhead-"+strconv.Itoa(uid))
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fault.WithHint(fmt.Errorf("making the state folder: %w", err), "set XDG_RUNTIME_DIR to a folder of your own")
	}
	// In a folder that others can write to, somebody else may have made it.
	info, err := os.Lstat(dir)
	if err != nil {
		return "", fmt.Errorf("looking at the state folder: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(st.Uid) != uid || info.Mode().Perm()&0o077 != 0 {
		return "", fault.WithHint(fmt.Errorf("the state folder %s is not a folder of yours alone (mode 0700)", dir),
			"remove it, or set XDG_RUNTIME_DIR to a folder of your own")
	}
	return dir, nil
}

// cacheDir returns the folder for what is kept between runs. Root has one of the
// machine's, unless XDG_CACHE_HOME is set.
func cacheDir() (string, error) {
	if os.Geteuid() == 0 && os.Getenv("XDG_CACHE_HOME") == "" {
		return "/var/cache/bulkhead", nil
	}
	base, err := os.UserCacheDir()
	if err != nil || !filepath.IsAbs(base) {
		return "", fault.WithHint(errors.New("no cache folder: neither XDG_CACHE_HOME nor HOME is set"), "set HOME or XDG_CACHE_HOME")
	}
	return filepath.Join(base, "bulkhead"), nil
}
