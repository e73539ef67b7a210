package decide

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// token reports whether the pod gets a token for the Kubernetes API, and the
// name of its ServiceAccount.
func (ix *index) token(pod map[string]any, namespace string) (mounted bool, account string) {
	spec, _ := pod["spec"].(map[string]any)
	account, _ = spec["serviceAccountName"].(string)
	if account == "" {
		account, _ = spec["serviceAccount"].(string)
	}
	if account == "" {
		account = "default"
	}
	if set, ok := spec["automountServiceAccountToken"].(bool); ok {
		return set, account
	}
	if sa, ok := ix.accounts[key{namespaceOf(namespace), account}]; ok && sa.obj.AutomountServiceAccountToken != nil {
		return *sa.obj.AutomountServiceAccountToken, account
	}
	return true, account
}

// right is one RBAC rule that an account holds.
type right struct {
	from *manifest.Object
	at   manifest.Path
	rule rbacv1.PolicyRule
}

// rights returns the RBAC rules that the input grants to an account.
func (ix *index) rights(namespace, account string) []right {
	var out []right
	for _, b := range ix.bindings {
		if !binds(b, namespace, account) {
			continue
		}
		scope := ""
		if b.obj.RoleRef.Kind == "Role" {
			scope = namespaceOf(b.from.Namespace)
		}
		role, ok := ix.roles[key{scope, b.obj.RoleRef.Name}]
		if !ok {
			continue
		}
		for i, rule := range role.obj.Rules {
			out = append(out, right{role.from, manifest.Path{"rules", i}, rule})
		}
	}
	return out
}

func binds(b indexed[rbacv1.ClusterRoleBinding], namespace, account string) bool {
	namespace = namespaceOf(namespace)
	for _, s := range b.obj.Subjects {
		switch {
		case s.Kind == rbacv1.ServiceAccountKind && s.Name == account:
			ns := s.Namespace
			if ns == "" && b.from.Kind == "RoleBinding" {
				ns = b.from.Namespace
			}
			if namespaceOf(ns) == namespace {
				return true
			}
		case s.Kind == rbacv1.GroupKind && (s.Name == "system:serviceaccounts" || s.Name == "system:serviceaccounts:"+namespace || s.Name == "system:authenticated"):
			return true
		}
	}
	return false
}

// podMakers are the resources whose creation makes pods.
func podMakers() []string {
	return []string{
		"pods", "deployments", "statefulsets", "daemonsets", "replicasets", "replicationcontrollers",
		"jobs", "cronjobs", "sandboxes", "sandboxclaims", "sandboxwarmpools",
	}
}

// spawns reports whether a rule lets its holder create pods.
func spawns(r rbacv1.PolicyRule) bool {
	return has(r.Verbs, "create") && slices.ContainsFunc(podMakers(), func(res string) bool { return has(r.Resources, res) })
}

func has(list []string, want string) bool {
	return slices.Contains(list, want) || slices.Contains(list, "*")
}
