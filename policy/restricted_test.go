package policy

import (
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
	psaapi "k8s.io/pod-security-admission/api"
	psa "k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// hardened is a pod that has the whole baseline.
const hardened = `
metadata: {name: a}
spec:
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: a
    image: b:1
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
`

// TestRestricted: on each of these pods, the five controls and the restrictions
// together say what the API server's own Pod Security admission says of level
// restricted, and a pod with less is not let through.
func TestRestricted(t *testing.T) {
	c := rules.Builtin()
	own := &rules.Catalogue{}
	var ids []string
	for i, r := range restrictions() {
		id := "restriction-" + string(rune('a'+i))
		own.Rules = append(own.Rules, rules.Rule{ID: id, Scope: rules.ScopePod, Large: true, Any: []rules.Alternative{{Each: "pod", At: rules.Strings{"spec"}, When: breaks([]restriction{r})}}})
		ids = append(ids, id)
	}
	for _, control := range v1alpha1.Controls() {
		if control != v1alpha1.Restricted && control != v1alpha1.NoTokens {
			ids = append(ids, string(control))
		}
	}
	all, err := c.With(own)
	if err != nil {
		t.Fatal(err)
	}
	e, err := rules.NewEvaluator(all)
	if err != nil {
		t.Fatal(err)
	}
	standards, err := psa.NewEvaluator(psa.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	fired := map[string]int{}
	for name, change := range podChanges() {
		var object, over map[string]any
		for text, into := range map[string]*map[string]any{hardened: &object, change: &over} {
			if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		merge(object, over)
		var pod corev1.Pod
		text, _ := json.Marshal(object)
		if err := json.Unmarshal(text, &pod); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := true
		for _, r := range standards.EvaluatePod(psaapi.LevelVersion{Level: psaapi.LevelRestricted, Version: psaapi.LatestVersion()}, &pod.ObjectMeta, &pod.Spec) {
			want = want && r.Allowed
		}
		var broken []string
		for _, id := range ids {
			r, _ := all.Rule(id)
			if fires, err := e.Pod(object).Fires(r); err != nil {
				t.Errorf("%s: %v", name, err)
			} else if fires {
				broken = append(broken, id)
				fired[id]++
			}
		}
		if got := len(broken) == 0; got != want {
			t.Errorf("%s: allowed %t (%v), by Pod Security restricted %t", name, got, broken, want)
		}
	}
	for _, id := range ids {
		if fired[id] == 0 && id != "read-only-root" {
			t.Errorf("no pod breaks %s", id)
		}
	}
}

// merge puts values over others; of a list, the entries that are there.
func merge(into, from map[string]any) {
	for key, value := range from {
		old, here := into[key]
		switch v := value.(type) {
		case nil:
			delete(into, key)
			continue
		case map[string]any:
			if m, ok := old.(map[string]any); ok {
				merge(m, v)
				continue
			}
		case []any:
			if list, ok := old.([]any); ok && here {
				for i := range min(len(v), len(list)) {
					merge(list[i].(map[string]any), v[i].(map[string]any))
				}
				into[key] = append(list, v[min(len(v), len(list)):]...)
				continue
			}
		}
		into[key] = value
	}
}

func podChanges() map[string]string {
	out := map[string]string{
		"the whole baseline":              "{}",
		"host network":                    "spec: {hostNetwork: true}",
		"host PID":                        "spec: {hostPID: true}",
		"host IPC":                        "spec: {hostIPC: true}",
		"privileged":                      "spec: {containers: [{securityContext: {privileged: true}}]}",
		"not privileged":                  "spec: {containers: [{securityContext: {privileged: false}}]}",
		"user 0 of the pod":               "spec: {securityContext: {runAsUser: 0}}",
		"user 0 of a container":           "spec: {containers: [{securityContext: {runAsUser: 0}}]}",
		"user 1000":                       "spec: {securityContext: {runAsUser: 1000}}",
		"no non-root":                     "spec: {securityContext: {runAsNonRoot: null}}",
		"root in the pod, not in it":      "spec: {securityContext: {runAsNonRoot: false}, containers: [{securityContext: {runAsNonRoot: true}}]}",
		"root in a container":             "spec: {containers: [{securityContext: {runAsNonRoot: false}}]}",
		"no seccomp":                      "spec: {securityContext: {seccompProfile: null}}",
		"unconfined in the pod":           "spec: {securityContext: {seccompProfile: {type: Unconfined}}, containers: [{securityContext: {seccompProfile: {type: RuntimeDefault}}}]}",
		"unconfined in a container":       "spec: {containers: [{securityContext: {seccompProfile: {type: Unconfined}}}]}",
		"a profile of its own":            "spec: {securityContext: {seccompProfile: {type: Localhost, localhostProfile: a.json}}}",
		"escalation":                      "spec: {containers: [{securityContext: {allowPrivilegeEscalation: true}}]}",
		"escalation is not said":          "spec: {containers: [{securityContext: {allowPrivilegeEscalation: null}}]}",
		"no capability is dropped":        "spec: {containers: [{securityContext: {capabilities: {drop: null}}}]}",
		"NET_BIND_SERVICE":                "spec: {containers: [{securityContext: {capabilities: {add: [NET_BIND_SERVICE]}}}]}",
		"NET_RAW":                         "spec: {containers: [{securityContext: {capabilities: {add: [NET_RAW]}}}]}",
		"a port":                          "spec: {containers: [{ports: [{containerPort: 80}]}]}",
		"a host port":                     "spec: {containers: [{ports: [{containerPort: 80, hostPort: 80}]}]}",
		"a host path":                     "spec: {volumes: [{name: a, hostPath: {path: /}}]}",
		"NFS":                             "spec: {volumes: [{name: a, nfs: {server: b, path: /}}]}",
		"volumes that are allowed":        "spec: {volumes: [{name: a, emptyDir: {}}, {name: b, configMap: {name: c}}, {name: d, secret: {secretName: e}}, {name: f, projected: {sources: []}}, {name: g, persistentVolumeClaim: {claimName: h}}, {name: i, downwardAPI: {}}, {name: j, csi: {driver: k}}, {name: l, ephemeral: {}}, {name: m, image: {reference: o}}]}",
		"an unmasked /proc":               "spec: {containers: [{securityContext: {procMount: Unmasked}}]}",
		"the default /proc":               "spec: {containers: [{securityContext: {procMount: Default}}]}",
		"AppArmor unconfined":             "spec: {securityContext: {appArmorProfile: {type: Unconfined}}}",
		"AppArmor unconfined in one":      "spec: {containers: [{securityContext: {appArmorProfile: {type: Unconfined}}}]}",
		"AppArmor by default":             "spec: {securityContext: {appArmorProfile: {type: RuntimeDefault}}}",
		"AppArmor unconfined of old":      "metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/a: unconfined}}",
		"AppArmor of old":                 "metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/a: localhost/a, b: c}}",
		"an SELinux type":                 "spec: {securityContext: {seLinuxOptions: {type: spc_t}}}",
		"an SELinux type of containers":   "spec: {containers: [{securityContext: {seLinuxOptions: {type: container_t, level: 's0:c1'}}}]}",
		"an SELinux user":                 "spec: {containers: [{securityContext: {seLinuxOptions: {user: system_u}}}]}",
		"an SELinux role":                 "spec: {securityContext: {seLinuxOptions: {role: system_r}}}",
		"a sysctl":                        "spec: {securityContext: {sysctls: [{name: kernel.msgmax, value: '1'}]}}",
		"a host process":                  "spec: {securityContext: {windowsOptions: {hostProcess: true}}}",
		"a host process in a container":   "spec: {containers: [{securityContext: {windowsOptions: {hostProcess: true}}}]}",
		"no host process":                 "spec: {securityContext: {windowsOptions: {hostProcess: false}}}",
		"a probe of another host":         "spec: {containers: [{livenessProbe: {httpGet: {host: b, port: 80}}}]}",
		"a probe of itself":               "spec: {containers: [{livenessProbe: {httpGet: {port: 80}}, readinessProbe: {tcpSocket: {port: 80}}}]}",
		"a TCP probe of another host":     "spec: {containers: [{startupProbe: {tcpSocket: {host: b, port: 80}}}]}",
		"a handler to another host":       "spec: {containers: [{lifecycle: {preStop: {httpGet: {host: b, port: 80}}}}]}",
		"an init container with nothing":  "spec: {initContainers: [{name: i, image: j}]}",
		"an ephemeral one with nothing":   "spec: {ephemeralContainers: [{name: i, image: j}]}",
		"Windows":                         "spec: {os: {name: windows}, securityContext: {seccompProfile: null}, containers: [{securityContext: {allowPrivilegeEscalation: null, capabilities: null, readOnlyRootFilesystem: null, runAsNonRoot: true}}]}",
		"privileged in an init container": "spec: {initContainers: [{name: i, image: j, securityContext: {privileged: true, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}}]}",
	}
	for _, name := range safeSysctls() {
		out["sysctl "+name] = "spec: {securityContext: {sysctls: [{name: " + name + ", value: '1'}]}}"
	}
	return out
}
