package policy

import (
	"fmt"
	"strings"
)

// restriction is a part of Pod Security restricted that the five controls do not
// cover. One of its expressions is true on a pod that breaks it: pod, or container
// for a container c. "" is never true.
type restriction struct{ what, pod, container string }

// restrictions are the checks of the Pod Security Standards, level restricted,
// as of Kubernetes 1.37 (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
// A pod with user namespaces is held to them like others.
func restrictions() []restriction {
	both := func(what, field, bad string) restriction {
		expr := fmt.Sprintf(".?securityContext.?%s.optMap(v, %s).orValue(false)", field, bad)
		return restriction{what, "object.spec" + expr, "c" + expr}
	}
	handlers := []string{}
	for _, h := range []string{"livenessProbe", "readinessProbe", "startupProbe", "lifecycle.?postStart", "lifecycle.?preStop"} {
		for _, action := range []string{"httpGet", "tcpSocket"} {
			handlers = append(handlers, fmt.Sprintf("c.?%s.?%s.?host.orValue('') != ''", h, action))
		}
	}
	appArmor := both("an AppArmor profile that is neither RuntimeDefault nor Localhost", "appArmorProfile", "!(v.type in ['RuntimeDefault', 'Localhost'])")
	appArmor.pod += " || object.metadata.?annotations.orValue({}).exists(k, k.startsWith('container.apparmor.security.beta.kubernetes.io/') && !(object.metadata.annotations[k] in ['', 'runtime/default'] || object.metadata.annotations[k].startsWith('localhost/')))"
	return []restriction{
		{"hostNetwork, hostPID or hostIPC", "object.spec.?hostNetwork.orValue(false) || object.spec.?hostPID.orValue(false) || object.spec.?hostIPC.orValue(false)", ""},
		{"privileged", "", "c.?securityContext.?privileged.orValue(false)"},
		both("a user of 0 (runAsUser)", "runAsUser", "v == 0"),
		both("runAsNonRoot: false", "runAsNonRoot", "v == false"),
		both("a seccomp profile that is neither RuntimeDefault nor Localhost", "seccompProfile", "!(v.type in ['RuntimeDefault', 'Localhost'])"),
		{"added capabilities other than NET_BIND_SERVICE", "", "c.?securityContext.?capabilities.?add.orValue([]).exists(v, v != 'NET_BIND_SERVICE')"},
		{"a host port", "", "c.?ports.orValue([]).exists(p, p.?hostPort.orValue(0) != 0)"},
		{"a volume that is neither configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected nor secret",
			"object.spec.?volumes.orValue([]).exists(v, !(has(v.configMap) || has(v.csi) || has(v.downwardAPI) || has(v.emptyDir) || has(v.ephemeral) || has(v.image) || has(v.persistentVolumeClaim) || has(v.projected) || has(v.secret)))", ""},
		{"a procMount other than Default", "", "c.?securityContext.?procMount.orValue('Default') != 'Default'"},
		appArmor,
		both("SELinux options other than the types of containers", "seLinuxOptions",
			"!(v.?type.orValue('') in ['', 'container_t', 'container_init_t', 'container_kvm_t', 'container_engine_t']) || v.?user.orValue('') != '' || v.?role.orValue('') != ''"),
		{"sysctls that are not known to be safe", "object.spec.?securityContext.?sysctls.orValue([]).exists(s, !(s.name in " + quoted(safeSysctls()) + "))", ""},
		both("a Windows host process", "windowsOptions", "v.?hostProcess.orValue(false)"),
		{"a host in a probe or handler", "", strings.Join(handlers, " || ")},
	}
}

// breaks is true on a pod that breaks one of the restrictions. Containers are
// gone through once.
func breaks(restrictions []restriction) string {
	var terms, inContainer []string
	for _, r := range restrictions {
		if r.pod != "" {
			terms = append(terms, r.pod)
		}
		if r.container != "" {
			inContainer = append(inContainer, r.container)
		}
	}
	if len(inContainer) > 0 {
		terms = append(terms, "variables.containers.exists(c, "+strings.Join(inContainer, " || ")+")")
	}
	return strings.Join(terms, " || ")
}

func safeSysctls() []string {
	return []string{
		"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_unprivileged_port_start",
		"net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
		"net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_rmem", "net.ipv4.tcp_slow_start_after_idle",
		"net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
	}
}
