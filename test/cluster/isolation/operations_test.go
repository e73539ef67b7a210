package isolation

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// TestOperations holds docs/operations.md to what an API server counts and writes
// down after requests of every kind: each alert's selectors select something, and
// the audit log has why.
func TestOperations(t *testing.T) {
	audited := filepath.Join(t.TempDir(), "audit.log")
	c := start(t, "--audit-policy-file", auditPolicy(t), "--audit-log-path", audited)
	c.applyAll(t, operator)
	for _, name := range []string{"warned", "audited"} {
		c.namespace(t, name, nil)
	}
	only := func(name, mode string) map[string]any {
		return map[string]any{"metadata.name": name, "spec.mode": mode, "spec.namespaces": map[string]any{"include": []any{name}}}
	}
	c.applyAll(t, strings.TrimSpace(broken))
	c.install(t, team, readPolicy(t, map[string]any{"spec.namespaces.exclude": []any{"kube-system", "warned", "audited"}}),
		readPolicy(t, only("warned", "Warn")), readPolicy(t, only("audited", "Audit")))

	c.applyAll(t, spawning)
	nb := secure("a", notebookImage, "")
	c.run(t, []podCase{
		{"denied", team, securePod("", weak, nb), "", needsVM, ""},
		{"assigned", team, securePod("", "", nb), "kata-fc", "", ""},
		{"warned", "warned", securePod("", "", nb), "", "", needsVM},
		{"audited", "audited", securePod("", "", nb), "", "", ""},
		{"a spawner", team, strings.Replace(securePod("", "", nb), "automountServiceAccountToken: false", "serviceAccountName: spawner", 1), "", "mounts no ServiceAccount token", "may create pods in its namespace"},
		{"no spawner", team, strings.Replace(securePod("", "", nb), "automountServiceAccountToken: false", "automountServiceAccountToken: true", 1), "", "mounts no ServiceAccount token", ""},
	})
	for _, by := range []string{"validating", "mutating"} {
		_, _, err := c.try(t.Context(), pod(t, team, "{metadata: {annotations: {broken: "+by+"}}, spec: {containers: [{name: a, image: registry.example/app:1}]}}"))
		if err == nil || !strings.Contains(err.Error(), "no such key") {
			t.Errorf("a %s policy that cannot be evaluated: %v", by, err)
		}
	}
	c.as(t, "operator").runChanges(t, []changeCase{
		{"guarded", "{apiVersion: v1, kind: Namespace, metadata: {name: " + team + ", labels: {bulkhead.dev/minimum-boundary: shared-kernel}}}", false, "takes the verb administer"},
	})
	if err := c.apply(t.Context(), object(t, breakGlass(team, "break-glass", later(time.Hour)))); err != nil {
		t.Fatal(err)
	}
	c.await(t, "the glass is broken", func(ctx context.Context) (bool, error) {
		_, _, err := c.try(ctx, pod(t, team, securePod("bulkhead.dev/break-glass: LAB-1", weak, nb)))
		if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) {
			return false, nil
		}
		return err == nil, err
	})
	metrics, err := c.client.RESTClient().Get().AbsPath("/metrics").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("alerts", func(t *testing.T) { alerts(t, page, metrics) })
	t.Run("metrics", func(t *testing.T) {
		names := regexp.MustCompile("apiserver_[a-z_]+").FindAllString(string(page), -1)
		if len(names) < 5 {
			t.Errorf("the page names %q alone", names)
		}
		for _, name := range names {
			if !bytes.Contains(metrics, []byte("\n# TYPE "+name+" ")) {
				t.Errorf("the API server has no %s", name)
			}
		}
	})
	t.Run("audit log", func(t *testing.T) { auditLog(t, page, audited) })
}

// broken are policies that fail to evaluate, under a name such as Bulkhead's have.
const broken = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: bulkhead-broken}
spec:
  failurePolicy: Fail
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}
  matchConditions: [{name: broken, expression: "object.metadata.?annotations[?'broken'] == optional.of('validating')"}]
  validations: [{expression: "object.metadata.annotations['gone'] == ''"}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: bulkhead-broken}
spec: {policyName: bulkhead-broken, validationActions: [Deny]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicy
metadata: {name: bulkhead-broken}
spec:
  failurePolicy: Fail
  reinvocationPolicy: Never
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}
  matchConditions: [{name: broken, expression: "object.metadata.?annotations[?'broken'] == optional.of('mutating')"}]
  mutations: [{patchType: JSONPatch, jsonPatch: {expression: "[JSONPatch{op: 'add', path: '/metadata/annotations/broken', value: object.metadata.annotations['gone']}]"}}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingAdmissionPolicyBinding
metadata: {name: bulkhead-broken}
spec: {policyName: bulkhead-broken}
`

func auditPolicy(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "audit.yaml")
	if err := os.WriteFile(path, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// alerts has Prometheus's own parsers read the alerts of the page.
func alerts(t *testing.T, page, metrics []byte) {
	_, rules, ok := strings.Cut(string(page), "```yaml\n")
	rules, _, closed := strings.Cut(rules, "```")
	if !ok || !closed {
		t.Fatal("the page has no alerts")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"rules.yaml": rules, "metrics": string(metrics)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", ".", filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "metrics"))
	cmd.Dir = "../../alerts"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// spawning is an account that may create pods.
const spawning = `
{apiVersion: v1, kind: ServiceAccount, metadata: {name: spawner, namespace: team}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: spawner, namespace: team}, rules: [{apiGroups: [""], resources: [pods], verbs: [create]}]}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: spawner, namespace: team}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: spawner}, subjects: [{kind: ServiceAccount, name: spawner, namespace: team}]}`

// auditLog: what the page says of the log is there, in every mode.
func auditLog(t *testing.T, page []byte, path string) {
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	failures, uses := map[string]string{}, 0
	for line := range bytes.Lines(log) {
		var event struct {
			ObjectRef   struct{ Namespace, Resource string }
			Annotations map[string]string
		}
		if err := json.Unmarshal(line, &event); err != nil {
			t.Fatal(err)
		}
		for key, value := range event.Annotations {
			if !strings.Contains(string(page), key) {
				continue
			}
			if strings.HasSuffix(key, "/break-glass") && strings.Contains(value, "the nodes with KVM are down") {
				uses++
			} else if event.ObjectRef.Resource == "pods" {
				failures[event.ObjectRef.Namespace] += value
			}
		}
	}
	for _, namespace := range []string{team, "warned", "audited"} {
		if !strings.Contains(failures[namespace], needsVM) || !strings.Contains(failures[namespace], "bulkhead-pods-") {
			t.Errorf("the log of namespace %s says %q", namespace, failures[namespace])
		}
	}
	if !strings.Contains(failures[team], "ServiceAccount spawner of this LLM workload may create pods") {
		t.Errorf("the log does not say that an account may create pods: %q", failures[team])
	}
	if strings.Contains(failures[team], "ServiceAccount default of this") {
		t.Errorf("an account that may create nothing is said to: %q", failures[team])
	}
	if uses < 2 { // it is broken, and a pod uses that
		t.Errorf("%d events about the BreakGlass", uses)
	}
}
