package harden_test

import (
	"bytes"
	"maps"
	"slices"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/internal/harden"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// TestRightsAreNeverMore: of the whole corpus, a cut Role has no wildcard, and gives
// nothing that the account does not have already.
func TestRightsAreNeverMore(t *testing.T) {
	d := newDecider(t)
	all := cases(t)
	all["broad"] = []byte(broadRights)
	roles, asked := 0, 0
	for _, name := range slices.Sorted(maps.Keys(all)) {
		was := judge(t, d, name, all[name])
		sets, err := harden.Rights(was.outcome, true)
		if err != nil {
			t.Fatal(err)
		}
		n := was.outcome.Network()
		for _, set := range sets {
			asked += len(set.Findings)
			dec := was.outcome.Decisions[set.Index]
			account, ok := n.Account(dec)
			if !ok {
				t.Fatal(name, "rights of an unknown account")
			}
			for _, f := range set.Files {
				var role rbacv1.Role
				if err := yaml.UnmarshalStrict(f.Text, &role); err != nil || role.Kind != "Role" {
					continue
				}
				roles++
				for _, rule := range role.Rules {
					for _, grant := range atoms(rule) {
						covered := false
						for _, g := range n.Grants(dec, account.Name) {
							covered = covered || (g.Namespace == "" || g.Namespace == n.Namespace(dec)) && covers(g.Rule, grant)
						}
						if !covered {
							t.Errorf("%s: %s gives more than the account has: %v", name, f.Path, grant)
						}
					}
				}
				if len(manifest.Read(f.Path, bytes.NewReader(f.Text), manifest.DefaultLimits()).Objects) != 1 {
					t.Errorf("%s is not one object", f.Path)
				}
			}
		}
	}
	t.Logf("%d Roles, %d findings", roles, asked)
	if roles == 0 || asked < roles {
		t.Errorf("%d Roles and %d findings: nothing is tested", roles, asked)
	}
}

// atom is one right.
type atom struct{ group, resource, verb, name string }

func atoms(r rbacv1.PolicyRule) []atom {
	names := r.ResourceNames
	if len(names) == 0 {
		names = []string{""}
	}
	var out []atom
	for _, g := range r.APIGroups {
		for _, res := range r.Resources {
			for _, v := range r.Verbs {
				for _, n := range names {
					out = append(out, atom{g, res, v, n})
				}
			}
		}
	}
	return out
}

func covers(r rbacv1.PolicyRule, a atom) bool {
	has := func(list []string, want string) bool {
		return slices.Contains(list, want) || slices.Contains(list, "*")
	}
	return a.verb != "*" && a.resource != "*" && a.group != "*" && has(r.APIGroups, a.group) && has(r.Resources, a.resource) && has(r.Verbs, a.verb) &&
		(len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, a.name))
}

// broadRights are rights of every kind that can be cut, and that cannot.
const broadRights = `apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: agents, labels: {app: agent, bulkhead.dev/risk-class: tool-calling}}
spec:
  serviceAccountName: agent
  containers:
    - name: agent
      image: registry.example/agent:1
      args: [--prompts=prompts]
      env:
        - {name: KEY, valueFrom: {secretKeyRef: {name: model-key, key: k}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: prompts, namespace: agents}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: agent, namespace: agents}
rules:
  - {apiGroups: [""], resources: [configmaps], verbs: ["*"]}
  - {apiGroups: [""], resources: [secrets], verbs: [get, list, create]}
  - {apiGroups: [batch], resources: [jobs, jobs/status], verbs: ["*"]}
  - {apiGroups: ["*"], resources: ["*"], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: agent, namespace: agents}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: agent}
subjects: [{kind: ServiceAccount, name: agent}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: pods}
rules:
  - {apiGroups: [""], resources: [pods, nodes], verbs: [get, list]}
  - {nonResourceURLs: [/metrics], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: pods}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: pods}
subjects: [{kind: ServiceAccount, name: agent, namespace: agents}]
`
