//go:build linux

package sandboxcli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// mounts reads SRC:DST[:ro|:rw]. Mounts that would undo the boundary are
// refused, those that expose the host unless that is asked for in so many words.
func (f runFlags) mounts() ([]sandbox.Mount, error) {
	var out []sandbox.Mount
	for _, v := range f.volumes {
		parts := strings.Split(v, ":")
		if len(parts) < 2 || len(parts) > 3 || !filepath.IsAbs(parts[1]) {
			return nil, runUsage(fmt.Sprintf("-v %q is not SRC:DST[:ro|:rw] with an absolute DST", v), "write -v ./data:/data:ro")
		}
		m := sandbox.Mount{Target: filepath.Clean(parts[1])}
		if len(parts) == 3 {
			if parts[2] != "ro" && parts[2] != "rw" {
				return nil, runUsage(fmt.Sprintf("-v %q: unknown option %q", v, parts[2]), "use ro or rw")
			}
			m.Writable = parts[2] == "rw"
		}
		source, err := filepath.Abs(parts[0])
		if err == nil {
			source, err = filepath.EvalSymlinks(source)
		}
		if err != nil {
			return nil, fault.WithHint(fmt.Errorf("mounting %s: %w", parts[0], err), "mount a file or folder that exists")
		}
		info, err := os.Stat(source)
		if err != nil {
			return nil, fmt.Errorf("mounting %s: %w", parts[0], err)
		}
		if reason := exposes(source, info); reason != "" && !f.unsafeMount {
			return nil, fault.WithHint(fmt.Errorf("mounting %s at %s is refused: %s", source, m.Target, reason),
				"mount the folder that the command needs, nothing above it; --allow-unsafe-mount takes it all the same")
		}
		if hides(m.Target) {
			return nil, fault.WithHint(fmt.Errorf("mounting %s at %s is refused: it would hide what the sandbox is made of", source, m.Target),
				"mount it at a place of its own, such as /work")
		}
		m.Source = source
		out = append(out, m)
	}
	return out, nil
}

// exposes says why a mount would undo the boundary; "" when it would not.
func exposes(source string, info os.FileInfo) string {
	if !info.IsDir() && !info.Mode().IsRegular() {
		return "it is a socket, pipe or device: who can speak to it is outside the sandbox"
	}
	for _, dir := range []string{"/", "/var", "/var/lib"} {
		if source == dir {
			return "it exposes the whole host, or the state of everything that runs on it"
		}
	}
	if source == "/etc" {
		return "it exposes the host's secrets"
	}
	for _, dir := range []string{
		"/proc", "/sys", "/dev", "/run", "/boot", "/var/lib/docker", "/var/lib/containerd", "/var/lib/containers", "/var/lib/kubelet", "/var/lib/etcd",
		"/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh", "/etc/kubernetes", "/etc/rancher",
	} {
		if source == dir || strings.HasPrefix(source, dir+"/") {
			return "it exposes the host's kernel, secrets or runtime sockets"
		}
	}
	return ""
}

// hides reports whether something of the sandbox's own is at target.
func hides(target string) bool {
	return slices.Contains([]string{"/", "/proc", "/sys", "/dev", "/.bulkhead", "/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc"}, target) ||
		strings.HasPrefix(target, "/.bulkhead/")
}

// place completes a sandbox by its mounts, and says where its user may not write
// although :rw was asked for.
func (f runFlags) place(s console.Streams, spec *sandbox.Spec) (err error) {
	if spec.Mounts, err = f.mounts(); err != nil {
		return err
	}
	noteUnwritable(s, spec)
	return nil
}

// noteUnwritable says where the sandbox's user may not write although :rw was
// asked for.
func noteUnwritable(s console.Streams, spec *sandbox.Spec) {
	for _, m := range spec.Mounts {
		if owner, ok := mayWrite(m, spec.User); m.Writable && !ok {
			fmt.Fprintf(s.Err, "bulkhead: %s is not writable for user %d of the sandbox: add --user %d:%d, its owner as the sandbox sees it, or let others write to %s\n",
				printable.Lines(m.Target), spec.User.UID, owner.UID, owner.GID, printable.Lines(m.Source))
		}
	}
}

// mayWrite reports whether the mode of a mount's source lets user write to it,
// and who owns it as the sandbox sees it. To an unprivileged caller's sandboxes
// the caller is root, and everybody else is nobody.
func mayWrite(m sandbox.Mount, user sandbox.User) (owner sandbox.User, ok bool) {
	info, err := os.Stat(m.Source)
	if err != nil {
		return owner, true
	}
	st, isStat := info.Sys().(*syscall.Stat_t)
	if !isStat {
		return owner, true
	}
	owner = sandbox.User{UID: st.Uid, GID: st.Gid}
	if os.Geteuid() != 0 {
		owner = sandbox.User{UID: 65534, GID: 65534}
		if int(st.Uid) == os.Geteuid() {
			owner = sandbox.User{}
		}
	}
	mode := info.Mode().Perm()
	return owner, mode&0o002 != 0 || owner.UID == user.UID && mode&0o200 != 0 || owner.GID == user.GID && mode&0o020 != 0
}

// parseUser reads UID[:GID]; without a group the user has one of its own number.
func parseUser(text string) (sandbox.User, error) {
	uidText, gidText, both := strings.Cut(text, ":")
	if !both {
		gidText = uidText
	}
	uid, err1 := strconv.ParseUint(uidText, 10, 31)
	gid, err2 := strconv.ParseUint(gidText, 10, 31)
	if err := errors.Join(err1, err2); err != nil {
		return sandbox.User{}, runUsage(fmt.Sprintf("--user %q is not UID[:GID]", text), "give numbers: names are those of the host, and the sandbox has others")
	}
	return sandbox.User{UID: uint32(uid), GID: uint32(gid)}, nil
}
