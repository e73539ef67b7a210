package podspec

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

// defaultCapabilities are what a container runtime gives root when the
// manifest says nothing (containerd's default set).
func defaultCapabilities() []string {
	return []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
		"CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
	}
}

// security computes what each container asks for, and refuses where they differ.
func (r *reader) security(p *pod.Pod) error {
	readOnly, writable := 0, ""
	for i, s := range r.sources() {
		got, err := r.securityOf(s.Container)
		if err != nil {
			return err
		}
		if got.ReadOnlyRoot {
			readOnly++
		} else {
			writable = s.Name
		}
		got.ReadOnlyRoot = false
		if i > 0 && !reflect.DeepEqual(got, p.Security) {
			return r.apart("give all containers the same user, group and capabilities: here they share one sandbox and its user",
				"containers %q and %q run as different users or with different rights", r.sources()[0].Name, s.Name)
		}
		p.Security = got
	}
	p.Security.ReadOnlyRoot = writable == ""
	switch {
	case readOnly > 0 && writable != "":
		r.note("container %s may write to /tmp, /var/tmp, /run and its home folder, and so may those with readOnlyRootFilesystem: they share them", writable)
	case writable != "":
		r.note("the root file system is read-only, but for /tmp, /var/tmp, /run and the home folder")
	}
	return nil
}

// ownSecurity computes what each container asks for.
func (r *reader) ownSecurity(p *pod.Pod) error {
	for i, s := range r.sources() {
		got, err := r.securityOf(s.Container)
		if err != nil {
			return err
		}
		if !got.ReadOnlyRoot {
			r.note("container %s: the root file system is read-only, but for /tmp, /var/tmp, /run and the home folder", s.Name)
		}
		p.Containers[i].Own.Security = got
	}
	return nil
}

func (r *reader) securityOf(c corev1.Container) (pod.Security, error) {
	var all corev1.PodSecurityContext
	if r.pod.Spec.SecurityContext != nil {
		all = *r.pod.Spec.SecurityContext
	}
	var own corev1.SecurityContext
	if c.SecurityContext != nil {
		own = *c.SecurityContext
	}
	s := pod.Security{
		NonRoot:      isTrue(or(own.RunAsNonRoot, all.RunAsNonRoot)),
		Escalation:   isTrue(own.AllowPrivilegeEscalation),
		ReadOnlyRoot: isTrue(own.ReadOnlyRootFilesystem),
	}
	var err error
	if s.UID, err = r.id("runAsUser", or(own.RunAsUser, all.RunAsUser)); err != nil {
		return s, err
	}
	if s.GID, err = r.id("runAsGroup", or(own.RunAsGroup, all.RunAsGroup)); err != nil {
		return s, err
	}
	groups := all.SupplementalGroups
	if all.FSGroup != nil {
		groups = append(slices.Clone(groups), *all.FSGroup)
	}
	for _, g := range groups {
		id, err := r.id("supplementalGroups or fsGroup", &g)
		if err != nil {
			return s, err
		}
		if !slices.Contains(s.Groups, *id) {
			s.Groups = append(s.Groups, *id)
		}
	}
	if s.NonRoot && s.UID != nil && *s.UID == 0 {
		return s, r.unsupported("set runAsUser to a number above 0", "container %q has runAsNonRoot and runs as root", c.Name)
	}
	s.Capabilities, err = r.capabilities(c.Name, own.Capabilities)
	return s, err
}

// id checks a user's or a group's number.
func (r *reader) id(field string, n *int64) (*uint32, error) {
	if n == nil {
		return nil, nil
	}
	if *n < 0 || *n > 1<<31-1 {
		return nil, r.unsupported("give a number between 0 and 2147483647", "%s %d is no user or group", field, *n)
	}
	id := uint32(*n)
	return &id, nil
}

// capabilities applies what a container drops and adds to the default set.
func (r *reader) capabilities(name string, change *corev1.Capabilities) ([]string, error) {
	has := map[string]bool{}
	for _, c := range defaultCapabilities() {
		has[c] = true
	}
	if change == nil {
		return slices.Sorted(maps.Keys(has)), nil
	}
	for _, c := range change.Drop {
		if strings.EqualFold(string(c), "ALL") {
			clear(has)
		}
		delete(has, capability(c))
	}
	for _, c := range change.Add {
		if !slices.Contains(defaultCapabilities(), capability(c)) {
			return nil, r.unsupported("remove it: only what a container runtime gives by default is given here", "container %q adds capability %s", name, fmt.Sprintf("%q", c))
		}
		has[capability(c)] = true
	}
	return slices.Sorted(maps.Keys(has)), nil
}

func capability(c corev1.Capability) string {
	return "CAP_" + strings.TrimPrefix(strings.ToUpper(string(c)), "CAP_")
}

func isTrue(b *bool) bool { return b != nil && *b }

func or[T any](first, second *T) *T {
	if first != nil {
		return first
	}
	return second
}
