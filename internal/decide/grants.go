package decide

import (
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// Grant is one RBAC rule that a workload's account holds.
type Grant struct {
	// Binding is what gives it; Own reports whether that names the account, and not
	// a group which the account is in.
	Binding *manifest.Object
	Own     bool
	// Namespace is where the rule holds; "" for the whole cluster.
	Namespace string
	Role      rbacv1.RoleRef
	// From is where the rule stands: the binding, where the role is not in the input.
	From *manifest.Object
	At   manifest.Path
	// Rule has nothing in it where what the role grants is not known.
	Rule rbacv1.PolicyRule
}

// Namespace returns the namespace that a workload's pods land in.
func (n *Network) Namespace(d Decision) string { return namespaceOf(d.Pods[0].Namespace) }

// Grants returns what the input grants to the account of a workload.
func (n *Network) Grants(d Decision, account string) []Grant {
	ns := d.Pods[0].Namespace
	var out []Grant
	for _, r := range n.ix.rights(ns, account) {
		g := Grant{Binding: r.binding.from, Role: r.binding.obj.RoleRef, From: r.from, At: r.at, Rule: r.rule}
		if g.Binding.Kind == "RoleBinding" {
			g.Namespace = namespaceOf(g.Binding.Namespace)
		}
		g.Own = slices.ContainsFunc(r.binding.obj.Subjects, func(s rbacv1.Subject) bool {
			return s.Kind == rbacv1.ServiceAccountKind && s.Name == account || s.Kind == rbacv1.UserKind && s.Name == "system:serviceaccount:"+namespaceOf(ns)+":"+account
		})
		out = append(out, g)
	}
	return out
}

// HasRole reports whether the input has a Role of the name.
func (n *Network) HasRole(namespace, name string) bool {
	_, ok := n.ix.roles[key{namespaceOf(namespace), name}]
	return ok
}

// Shared reports whether pods of another workload of the input have the account.
func (n *Network) Shared(d Decision, account string) bool {
	return slices.ContainsFunc(n.pods[namespaceOf(d.Pods[0].Namespace)], func(p seenPod) bool {
		return p.account == account && (p.of.Kind != d.Row.Kind || p.of.Name != d.Row.Name)
	})
}

// Settings returns the ConfigMaps or Secrets (kind) that a workload names: in
// references of its pods, or, where the input has them, as the text of a variable or
// an argument.
func (n *Network) Settings(d Decision, kind string) []string {
	found := map[string]bool{}
	for _, w := range d.Pods {
		known := func(name string) bool {
			return len(n.ix.settings[settingsKey{kind, key{namespaceOf(w.Namespace), name}}]) > 0
		}
		spec, _ := w.Pod["spec"].(map[string]any)
		references(spec, kind, found)
		eachContainer(spec, func(_ string, _ int, c map[string]any) {
			var words []string
			env, _ := c["env"].([]any)
			for _, item := range env {
				e, _ := item.(map[string]any)
				words = append(words, str(e["value"]))
			}
			for _, field := range []string{"command", "args"} {
				items, _ := c[field].([]any)
				for _, item := range items {
					_, value, _ := strings.Cut(str(item), "=")
					words = append(words, str(item), value)
				}
			}
			for _, word := range words {
				if word = word[strings.LastIndexByte(word, '/')+1:]; known(word) {
					found[word] = true
				}
			}
		})
	}
	return slices.Sorted(maps.Keys(found))
}

// references collects the names in references to ConfigMaps or Secrets (kind): of
// variables, and of volumes.
func references(v any, kind string, found map[string]bool) {
	keys := map[string][]string{"ConfigMap": {"configMapKeyRef", "configMapRef", "configMap"}, "Secret": {"secretKeyRef", "secretRef", "secret"}}[kind]
	switch x := v.(type) {
	case []any:
		for _, item := range x {
			references(item, kind, found)
		}
	case map[string]any:
		for k, item := range x {
			ref, _ := item.(map[string]any)
			for _, field := range []string{"name", "secretName"} {
				if name := str(ref[field]); name != "" && slices.Contains(keys, k) {
					found[name] = true
				}
			}
			references(item, kind, found)
		}
	}
}
