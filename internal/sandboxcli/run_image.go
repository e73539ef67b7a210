//go:build linux

package sandboxcli

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/go-units"

	"github.com/bulkhead-dev/bulkhead/image"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// imageHost is the name of the host's toolchain as an image.
const imageHost = "host"

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// rootfs is a sandbox's root file system, with what it says about its use.
type rootfs struct {
	spec  sandbox.Spec
	image *image.Image // nil: the host's toolchain
	dir   string       // working directory; empty: the guest agent's choice
}

// pullPolicies are the values of --pull, as docker has them.
func pullPolicies() []string { return []string{"missing", "always", "never"} }

// source says which root file system is wanted.
type source struct {
	ref  string // empty: the host's toolchain
	user string // who runs, as docker writes it; empty: the image's own user
	pull string // one of pullPolicies; empty: missing
}

// guestBinary finds the guest agent and the cache folder, which root file systems
// are made with.
func guestBinary() (cache, guest string, err error) {
	if cache, err = cacheDir(); err != nil {
		return "", "", err
	}
	if guest = console.Companion("bulkhead-guest"); guest == "" {
		return "", "", fault.WithHint(fmt.Errorf("bulkhead-guest not found: %w", sandbox.ErrUnavailable),
			"put it beside the bulkhead binary or on PATH (`make build` puts it into bin/)")
	}
	return cache, guest, nil
}

// openRoot prepares a root file system.
func openRoot(ctx context.Context, s console.Streams, from source) (*rootfs, error) {
	cache, guest, err := guestBinary()
	if err != nil {
		return nil, err
	}
	if from.ref == "" || from.ref == imageHost {
		return hostRoot(ctx, cache, guest, from.user)
	}
	if from.pull != "" && !slices.Contains(pullPolicies(), from.pull) {
		return nil, runUsage(fmt.Sprintf("unknown --pull %q", from.pull), "it is one of "+strings.Join(pullPolicies(), ", "))
	}
	parsed, err := image.ParseReference(from.ref)
	if err != nil {
		return nil, err
	}
	tell, done := loading(s, parsed)
	img, err := image.NewStore(cache, guest).Open(ctx, parsed, image.OpenOptions{Always: from.pull == "always", Never: from.pull == "never", Progress: tell})
	done()
	if err != nil {
		return nil, err
	}
	r, err := imageRoot(img, from.user)
	if err != nil {
		img.Close()
		return nil, fmt.Errorf("image %s: %w", parsed, err)
	}
	return r, nil
}

// loading shows on a terminal how far the loading of an image is.
func loading(s console.Streams, ref image.Reference) (tell image.Progress, done func()) {
	p := console.NewProgress(s.Err)
	p.Say("unpacking %s", ref)
	return func(n, total int64) {
		if n < total {
			p.Say("loading %s: %s of %s", ref, units.HumanSize(float64(n)), units.HumanSize(float64(total)))
		} else {
			p.Say("unpacking %s", ref)
		}
	}, p.Done
}

// hostRoot is the host's toolchain.
func hostRoot(ctx context.Context, cache, guest, user string) (*rootfs, error) {
	root, err := image.Toolchain(ctx, cache, guest)
	if err != nil {
		return nil, err
	}
	account := image.User()
	if user != "" {
		if account, err = parseUser(user); err != nil {
			return nil, err
		}
	}
	// Characters are UTF-8, all else is C: with LANG every GNU program loads the
	// files of twelve categories before it does anything, most of a start in gVisor.
	env := []string{defaultPath, "HOME=" + image.HomePath, "USER=user", "LC_CTYPE=C.UTF-8"}
	return &rootfs{spec: newSpec(root, account, env)}, nil
}

// imageRoot is an image, used as its configuration says.
func imageRoot(img *image.Image, user string) (*rootfs, error) {
	if user == "" {
		user = img.User
	}
	account, err := img.Account(user)
	if err != nil {
		return nil, err
	}
	home := account.Home
	if home == "" {
		home = image.HomePath
	}
	// As docker: what the image sets wins.
	env := slices.Clone(img.Env)
	for _, kv := range []string{defaultPath, "HOME=" + home} {
		key, _, _ := strings.Cut(kv, "=")
		if !slices.ContainsFunc(env, func(has string) bool { return strings.HasPrefix(has, key+"=") }) {
			env = append(env, kv)
		}
	}
	r := &rootfs{spec: newSpec(img.Root, account.User, env), image: img, dir: img.Dir}
	if r.dir == "" {
		r.dir = "/"
	}
	// A home folder that the image fills stays as it is.
	if entries, err := os.ReadDir(filepath.Join(img.Root.Dir, image.HomePath)); err == nil && len(entries) > 0 {
		r.spec.Tmpfs = slices.DeleteFunc(r.spec.Tmpfs, func(t sandbox.Tmpfs) bool { return t.Target == image.HomePath })
	}
	return r, nil
}

func newSpec(root sandbox.Root, user sandbox.User, env []string) sandbox.Spec {
	return sandbox.Spec{
		ID:    "run-" + strings.ToLower(rand.Text()[:10]),
		Root:  root,
		Agent: []string{image.AgentPath},
		Env:   env,
		Tmpfs: []sandbox.Tmpfs{
			{Target: "/tmp", Mode: 0o1777, SizeBytes: tmpfsBytes},
			{Target: "/var/tmp", Mode: 0o1777, SizeBytes: tmpfsBytes},
			{Target: "/run", Mode: 0o755, SizeBytes: tmpfsBytes, User: user},
			{Target: image.HomePath, Mode: 0o700, SizeBytes: tmpfsBytes, User: user},
		},
		User:     user,
		Hostname: "sandbox",
	}
}

// command is what runs, as docker composes it: the image's entry point, then
// args or what the image gives for them.
func (r *rootfs) command(args []string) []string {
	if r.image == nil {
		return args
	}
	if len(args) == 0 {
		args = r.image.Cmd
	}
	return slices.Concat(r.image.Entrypoint, args)
}

// close lets go of the image.
func (r *rootfs) close() {
	if r.image != nil {
		r.image.Close()
	}
}
