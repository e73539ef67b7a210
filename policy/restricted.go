package policy

import (
	"fmt"
	"strings"
)

// restriction is a part of Pod Security restricted that the five controls do not
// cover. expr is true on a pod that breaks it.
type restriction struct{ what, expr string }

// restrictions are the checks of the Pod Security Standards, level restricted,
// as of Kubernetes 1.37 (https://kubernetes.io/docs/concepts/security/pod-security-standards/).
// A pod with user namespaces is held to them like others.
func restrictions() []restriction {
	inPodOrContainer := func(field, bad string) string {
		return fmt.Sprintf("object.spec.?securityContext.?%[1]s.optMap(v, %[2]s).orValue(false) || variables.containers.exists(c, c.?securityContext.?%[1]s.optMap(v, %[2]s).orValue(false))", field, bad)
	}
	anyContainer := func(expr string) string { return "variables.containers.exists(c, " + expr + ")" }
	handlers := []string{}
	for _, h := range []string{"livenessProbe", "readinessProbe", "startupProbe", "lifecycle.?postStart", "lifecycle.?preStop"} {
		for _, action := range []string{"httpGet", "tcpSocket"} {
			handlers = append(handlers, fmt.Sprintf("c.?%s.?%s.?host.orValue('') != ''", h, action))
		}
	}
	return []restriction{
		{"hostNetwork, hostPID or hostIPC", "object.spec.?hostNetwork.orValue(false) || object.spec.?hostPID.orValue(false) || object.spec.?hostIPC.orValue(false)"},
		{"privileged", anyContainer("c.?securityContext.?privileged.orValue(false)")},
		{"a user of 0 (runAsUser)", inPodOrContainer("runAsUser", "v == 0")},
		{"runAsNonRoot: false", inPodOrContainer("runAsNonRoot", "v == false")},
		{"a seccomp profile that is neither RuntimeDefault nor Localhost", inPodOrContainer("seccompProfile", "!(v.type in ['RuntimeDefault', 'Localhost'])")},
		{"added capabilities other than NET_BIND_SERVICE", anyContainer("c.?securityContext.?capabilities.?add.orValue([]).exists(v, v != 'NET_BIND_SERVICE')")},
		{"a host port", anyContainer("c.?ports.orValue([]).exists(p, p.?hostPort.orValue(0) != 0)")},
		{"a volume that is neither configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected nor secret",
			"object.spec.?volumes.orValue([]).exists(v, !(has(v.configMap) || has(v.csi) || has(v.downwardAPI) || has(v.emptyDir) || has(v.ephemeral) || has(v.image) || has(v.persistentVolumeClaim) || has(v.projected) || has(v.secret)))"},
		{"a procMount other than Default", anyContainer("c.?securityContext.?procMount.orValue('Default') != 'Default'")},
		{"an AppArmor profile that is neither RuntimeDefault nor Localhost",
			inPodOrContainer("appArmorProfile", "!(v.type in ['RuntimeDefault', 'Localhost'])") +
				" || object.metadata.?annotations.orValue({}).exists(k, k.startsWith('container.apparmor.security.beta.kubernetes.io/') && !(object.metadata.annotations[k] in ['', 'runtime/default'] || object.metadata.annotations[k].startsWith('localhost/')))"},
		{"SELinux options other than the types of containers",
			inPodOrContainer("seLinuxOptions", "!(v.?type.orValue('') in ['', 'container_t', 'container_init_t', 'container_kvm_t', 'container_engine_t']) || v.?user.orValue('') != '' || v.?role.orValue('') != ''")},
		{"sysctls that are not known to be safe",
			"object.spec.?securityContext.?sysctls.orValue([]).exists(s, !(s.name in " + quoted(safeSysctls()) + "))"},
		{"a Windows host process", inPodOrContainer("windowsOptions", "v.?hostProcess.orValue(false)")},
		{"a host in a probe or handler", anyContainer(strings.Join(handlers, " || "))},
	}
}

func safeSysctls() []string {
	return []string{
		"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.ip_unprivileged_port_start",
		"net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
		"net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_notsent_lowat", "net.ipv4.tcp_rmem", "net.ipv4.tcp_slow_start_after_idle",
		"net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem",
	}
}
