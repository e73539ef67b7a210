package podspec

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

// refuse names what no sandbox gives, and notes what is without effect.
func (r *reader) refuse() error {
	spec := r.pod.Spec
	switch {
	case spec.HostNetwork || spec.HostPID || spec.HostIPC:
		return r.unsupported("remove hostNetwork, hostPID and hostIPC", "it shares a namespace with the host")
	case len(spec.EphemeralContainers) > 0:
		return r.unsupported("use bulkhead exec", "it has ephemeral containers")
	case len(spec.ResourceClaims) > 0:
		return r.unsupported("remove resourceClaims", "it claims devices")
	}
	if sc := spec.SecurityContext; sc != nil {
		if len(sc.Sysctls) > 0 {
			return r.unsupported("remove sysctls", "it sets kernel parameters")
		}
		r.noteProfiles(sc.AppArmorProfile != nil, sc.SELinuxOptions != nil)
	}
	for _, s := range r.sources() {
		if err := r.refuseContainer(s); err != nil {
			return err
		}
	}
	if isTrue(spec.AutomountServiceAccountToken) || spec.ServiceAccountName != "" && spec.AutomountServiceAccountToken == nil {
		r.note("there is no API server here, and so no ServiceAccount token")
	}
	if spec.DNSConfig != nil || spec.DNSPolicy != "" && spec.DNSPolicy != corev1.DNSClusterFirst {
		r.note("there is no DNS here: the only way out is --allow")
	}
	if len(spec.ImagePullSecrets) > 0 {
		r.note("imagePullSecrets are not used")
	}
	return nil
}

func (r *reader) refuseContainer(s source) error {
	for _, p := range s.Ports {
		if p.HostPort != 0 {
			return r.unsupported("remove hostPort: the sandbox has no network device", "container %q wants port %d of the host", s.Name, p.HostPort)
		}
	}
	if len(s.RestartPolicyRules) > 0 || s.RestartPolicy != nil && s.role != pod.Sidecar {
		return r.unsupported("use the pod's restartPolicy", "container %q has a restart policy of its own", s.Name)
	}
	if slices.ContainsFunc(s.VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.MountPropagation != nil && *m.MountPropagation != corev1.MountPropagationNone
	}) {
		r.note("mountPropagation has no effect: nothing is mounted while a sandbox runs")
	}
	sc := s.SecurityContext
	if sc == nil {
		return nil
	}
	if isTrue(sc.Privileged) {
		return r.unsupported("remove securityContext.privileged", "container %q is privileged", s.Name)
	}
	if sc.ProcMount != nil && *sc.ProcMount != corev1.DefaultProcMount {
		return r.unsupported("remove procMount", "container %q wants /proc unmasked", s.Name)
	}
	r.noteProfiles(sc.AppArmorProfile != nil, sc.SELinuxOptions != nil)
	return nil
}

func (r *reader) noteProfiles(appArmor, selinux bool) {
	if appArmor || selinux {
		r.note("AppArmor and SELinux settings of the manifest are not applied here")
	}
}

// shared says what containers of one sandbox see of each other, and refuses to
// show the Secret of one to another that runs at the same time or later.
func (r *reader) shared(p *pod.Pod) error {
	if len(p.Containers) < 2 {
		return nil
	}
	const hint = "give the Secret to every container, or make the containers pods of their own"
	for _, v := range r.mounted {
		if len(v.secrets) > 0 && len(v.containers) < len(p.Containers) {
			return r.apart(hint, "its containers share one sandbox here, and Secret %q, mounted at %q, is meant for %s only", v.secrets[0], v.Target, strings.Join(v.containers, ", "))
		}
	}
	for _, c := range p.Containers {
		// The variables of an init container are gone with it.
		for _, s := range r.secrets[c.Name] {
			if c.Role != pod.Init && !r.inAll(p, s) {
				return r.apart(hint, "its containers share one sandbox here, and Secret %q is meant for %s only", s, c.Name)
			}
		}
	}
	r.note("its containers share one sandbox: each sees the files, processes and variables of the others that run")
	return nil
}

// inAll reports whether every container that may see another's variables gets a
// Secret as its own.
func (r *reader) inAll(p *pod.Pod, name string) bool {
	return !slices.ContainsFunc(p.Containers, func(c pod.Container) bool { return !slices.Contains(r.secrets[c.Name], name) })
}
