package isolation

import (
	"strings"
	"testing"
)

// hardenedModel has the whole baseline.
const hardenedModel = `
metadata: {labels: {app: model}}
spec:
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: a
    image: vllm/vllm-openai:1
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
`

func TestBaseline(t *testing.T) {
	c := start(t)
	waiver := func(expires string, controls ...any) map[string]any {
		return map[string]any{"owner": "team-model", "reason": "it writes to its root", "expires": expires, "namespace": "team",
			"selector": map[string]any{"app": "model"}, "containers": []any{"a"}, "allows": map[string]any{"controls": controls}}
	}
	strict := readPolicy(t, map[string]any{
		"spec.namespaces": map[string]any{"include": []any{"team"}}, "spec.egress": []any{},
		"spec.tokens":  map[string]any{"audiences": []any{"gateway"}, "serviceAccounts": []any{"team/operator"}},
		"spec.waivers": []any{waiver("2999-01-01", "read-only-root"), waiver("2020-01-01", "no-privilege-escalation")},
	})
	soft := readPolicy(t, map[string]any{"metadata.name": "soft", "spec.namespaces": map[string]any{"include": []any{"soft"}}, "spec.baseline": "Warn", "spec.egress": []any{}})
	c.namespace(t, "soft", nil)
	c.install(t, "team", strict, soft)
	if err := c.apply(t.Context(), object(t, "{apiVersion: v1, kind: ServiceAccount, metadata: {name: operator, namespace: team}}")); err != nil {
		t.Fatal(err)
	}
	without := func(parts ...string) string {
		out := hardenedModel
		for i := 0; i+1 < len(parts); i += 2 {
			if !strings.Contains(out, parts[i]) {
				t.Fatalf("no %q in the pod", parts[i])
			}
			out = strings.Replace(out, parts[i], parts[i+1], 1)
		}
		return out
	}
	volume := func(v string) string { return without("spec:", "spec:\n  volumes: ["+v+"]") }
	c.run(t, []podCase{
		{"the whole baseline", "team", hardenedModel, "", "", ""},
		{"nothing that shows an LLM", "team", nothing, "", "", ""},
		{"no non-root", "team", without("runAsNonRoot: true, ", ""), "", "an LLM workload lacks securityContext.runAsNonRoot", ""},
		{"no seccomp", "team", without("seccompProfile: {type: RuntimeDefault}", ""), "", "lacks securityContext.seccompProfile.type", ""},
		{"a root that is written to, waived", "team", without("readOnlyRootFilesystem: true, ", ""), "", "", ""},
		{"a root that is written to, in another pod", "team", without("app: model", "app: other", "readOnlyRootFilesystem: true, ", ""), "", "lacks securityContext.readOnlyRootFilesystem", ""},
		{"a root that is written to, in another container", "team", without("name: a", "name: b", "readOnlyRootFilesystem: true, ", ""), "", "lacks securityContext.readOnlyRootFilesystem", ""},
		{"escalation, waived once", "team", without("allowPrivilegeEscalation: false, ", ""), "", "lacks securityContext.allowPrivilegeEscalation", ""},
		{"capabilities", "team", without(", capabilities: {drop: [ALL]}", ""), "", "lacks securityContext.capabilities.drop", ""},
		{"the node's network", "team", without("spec:", "spec:\n  hostNetwork: true"), "", "this pod has hostNetwork, hostPID or hostIPC", ""},
		{"a folder of the node", "team", volume("{name: v, hostPath: {path: /data}}"), "", "this pod has a volume that is neither", ""},
		{"no token by the account's default", "team", without("  automountServiceAccountToken: false\n", ""), "", "", ""},
		{"a token of the API server", "team", without("automountServiceAccountToken: false", "automountServiceAccountToken: true"), "", "mounts no ServiceAccount token", ""},
		{"a token of the API server that is projected by hand", "team", volume("{name: v, projected: {sources: [{serviceAccountToken: {path: t}}]}}"), "", "mounts no ServiceAccount token", ""},
		{"a token for another audience", "team", volume("{name: v, projected: {sources: [{serviceAccountToken: {path: t, audience: vault}}]}}"), "", "mounts no ServiceAccount token", ""},
		{"a token that is allowed", "team", volume("{name: v, projected: {sources: [{serviceAccountToken: {path: t, audience: gateway}}]}}"), "", "", ""},
		{"an account that may have one", "team", without("  automountServiceAccountToken: false\n", "  serviceAccountName: operator\n"), "", "", ""},
		{"a token Secret of old", "team", volume("{name: v, secret: {secretName: default-token-abc12}}"), "", "mounts no ServiceAccount token", ""},
		{"a token Secret of old in the environment", "team", without("    image:", "    env: [{name: T, valueFrom: {secretKeyRef: {name: default-token-abc12, key: token}}}]\n    image:"), "", "mounts no ServiceAccount token", ""},
		{"a Secret", "team", volume("{name: v, secret: {secretName: model-weights}}"), "", "", ""},
		{"no non-root", "soft", without("runAsNonRoot: true, ", ""), "", "", "an LLM workload lacks securityContext.runAsNonRoot"},
		{"the whole baseline", "soft", hardenedModel, "", "", ""},
	})
}
