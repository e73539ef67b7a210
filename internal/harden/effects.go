package harden

import (
	"encoding/json"

	"github.com/bulkhead-dev/bulkhead/internal/report"
)

// effect is what a change may break, and how one sees that.
type effect struct{ breaks, see string }

// effects are those of the rules whose findings are mended by a change.
func effects() map[string]effect {
	return map[string]effect{
		"boundary": {
			"the pod does not start where no node has the handler, and a program that needs a device or a system call of the node's kernel does not work in the sandbox",
			"kubectl describe pod: FailedCreatePodSandBox, or Forbidden: RuntimeClass not found",
		},
		"run-as-non-root": {
			"an image that runs as root, or names its user by a word, is not started; files of root cannot be written",
			"kubectl describe pod: CreateContainerConfigError, `container has runAsNonRoot and image will run as root`; give a runAsUser then",
		},
		"seccomp-default": {
			"system calls that nearly no program needs fail (mount, ptrace in old kernels, keyctl, bpf)",
			"`Operation not permitted` in the log of the container",
		},
		"no-privilege-escalation": {
			"sudo, su, ping and other setuid programs in the container do not get their rights",
			"`effective uid is not 0` or `no new privileges` in the log of the container",
		},
		"read-only-root": {
			"a program that writes outside of its volumes fails",
			"`Read-only file system` in the log of the container; mount an emptyDir on the folder that it names",
		},
		"drop-all-capabilities": {
			"ports below 1024 on old kernels, chown, and changing user in the container fail",
			"`Operation not permitted` or `bind: permission denied` in the log of the container",
		},
		"egress-unlimited": {
			"connections to what is not among its peers are dropped, where the cluster's network plugin enforces policies",
			"`timed out` or `connection refused` in the log of the container, and what the network plugin logs of drops (Cilium: hubble observe --verdict DROPPED)",
		},
		"egress-without-dns": {
			"nothing: it allows DNS beside what is allowed already",
			"kubectl describe networkpolicy",
		},
		RightsRule: {
			"nothing by itself; once the old binding is gone, calls to the Kubernetes API that it does not name are refused",
			"`is forbidden` in the log of the container, with the verb and the resource",
		},
		accountRule: {
			"what was granted to the namespace's default account outside of the input: rights, and secrets for pulling images",
			"`ErrImagePull` in kubectl describe pod, or `is forbidden` in the log of the container; grant it to the new account",
		},
		"api-token": {
			"a program that calls the Kubernetes API has no credentials",
			"`open /var/run/secrets/kubernetes.io/serviceaccount/token: no such file or directory` in the log of the container",
		},
	}
}

// text writes a value on one line; "" for none.
func text(v any) string {
	if v == nil {
		return ""
	}
	out, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return report.Redact(string(out))
}
