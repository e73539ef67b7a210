package oci

import (
	"strings"

	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// annotations ask gVisor for what the runtime specification has no words for;
// nil: nothing.
func annotations(s sandbox.Spec, r Runtime) map[string]string {
	a := map[string]string{}
	if r.EROFS && s.Root.EROFS != "" {
		a["dev.gvisor.spec.rootfs.source"] = s.Root.EROFS
		a["dev.gvisor.spec.rootfs.type"] = "erofs"
	}
	for _, f := range r.Shared {
		hint := "dev.gvisor.spec.mount." + f.Name + "."
		a[hint+"source"] = sharedSource(f.Name)
		a[hint+"type"] = "tmpfs"
		a[hint+"share"] = "pod"
		a[hint+"options"] = strings.Join(tmpfsOptions(f.Mode, f.SizeBytes, f.User, r), ",")
	}
	if r.Joins != "" {
		a["io.kubernetes.cri.container-type"] = "container"
		a["io.kubernetes.cri.sandbox-id"] = r.Joins
	}
	if len(a) == 0 {
		return nil
	}
	return a
}

// sharedSource is what a shared folder's mounts have as source. It only names the
// folder: nothing of the host is opened, but a relative path would be taken for
// one in the bundle of each container.
func sharedSource(name string) string { return "/nonexistent/bulkhead/" + name }
