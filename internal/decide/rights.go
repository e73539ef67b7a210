package decide

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// token is what a pod gets for the Kubernetes API.
type token struct {
	account string // the name of its ServiceAccount
	mounted bool
	reason  string // what decides it
}

// token returns what decides about the pod's token: the pod itself, else its
// account, else the API's default.
func (ix *index) token(pod map[string]any, namespace string) token {
	spec, _ := pod["spec"].(map[string]any)
	t := token{account: "default", mounted: true}
	for _, field := range []string{"serviceAccountName", "serviceAccount"} {
		if name, _ := spec[field].(string); name != "" {
			t.account = name
			break
		}
	}
	sa, known := ix.accounts[key{namespaceOf(namespace), t.account}]
	switch set, ok := spec["automountServiceAccountToken"].(bool); {
	case ok:
		t.mounted, t.reason = set, said(set)+", by the pod's automountServiceAccountToken"
	case known && sa.obj.AutomountServiceAccountToken != nil:
		t.mounted = *sa.obj.AutomountServiceAccountToken
		t.reason = fmt.Sprintf("%s, by its automountServiceAccountToken (%s:%d)", said(t.mounted), sa.from.File, line(sa.from))
	case known:
		t.reason = said(true) + ", as neither it nor the pod switches that off"
	default:
		t.reason = said(true) + ", as the pod does not switch that off, and the account is not in the input"
	}
	return t
}

func said(mounted bool) string {
	if mounted {
		return "its API token is mounted"
	}
	return "no API token is mounted"
}

// right is one RBAC rule that an account holds, and how it comes to it.
type right struct {
	from *manifest.Object // where the rule stands; the binding, for a role that every cluster has
	at   manifest.Path
	// rule has nothing in it where the role is not in the input: what it grants is
	// not known.
	rule    rbacv1.PolicyRule
	chain   string
	binding indexed[rbacv1.ClusterRoleBinding]
}

// rights returns the RBAC rules that the input grants to an account.
func (ix *index) rights(namespace, account string) []right {
	var out []right
	start := fmt.Sprintf("ServiceAccount %s/%s", namespaceOf(namespace), account)
	for _, b := range ix.bindings {
		if !binds(b, namespace, account) {
			continue
		}
		chain := fmt.Sprintf("%s -> %s %s (%s:%d)", start, b.from.Kind, b.from.Name, b.from.File, line(b.from))
		scope := ""
		if b.obj.RoleRef.Kind == "Role" {
			scope = namespaceOf(b.from.Namespace)
		}
		role, ok := ix.roles[key{scope, b.obj.RoleRef.Name}]
		if !ok {
			at, via := manifest.Path{"roleRef", "name"}, chain+" -> "+b.obj.RoleRef.Kind+" "+b.obj.RoleRef.Name
			known := defaultRoles()[b.obj.RoleRef.Name]
			if scope != "" || len(known) == 0 {
				out = append(out, right{b.from, at, rbacv1.PolicyRule{}, via + " (not in the input)", b})
				continue
			}
			for _, rule := range known {
				out = append(out, right{b.from, at, rule, via + " (every cluster has it)", b})
			}
			continue
		}
		for _, part := range ix.aggregated(role) {
			via := chain
			if part.from != role.from {
				via += " -> ClusterRole " + role.from.Name + " (aggregates)"
			}
			for i, rule := range part.obj.Rules {
				at := manifest.Path{"rules", i}
				pos, _ := part.from.Position(at)
				out = append(out, right{part.from, at, rule, fmt.Sprintf("%s -> %s %s (%s:%d)", via, part.from.Kind, part.from.Name, part.from.File, pos.Line), b})
			}
		}
	}
	return out
}

// aggregated returns the roles whose rules the role has: itself, or, where it
// aggregates, those of the input that its selectors match. The controller
// overwrites what an aggregating role says itself.
func (ix *index) aggregated(role indexed[rbacv1.ClusterRole]) []indexed[rbacv1.ClusterRole] {
	if role.obj.AggregationRule == nil {
		return []indexed[rbacv1.ClusterRole]{role}
	}
	var out []indexed[rbacv1.ClusterRole]
	for _, k := range slices.SortedFunc(maps.Keys(ix.roles), func(a, b key) int { return cmp.Compare(a.name, b.name) }) {
		part := ix.roles[k]
		if k.namespace != "" || part.from == role.from {
			continue
		}
		for i := range role.obj.AggregationRule.ClusterRoleSelectors {
			selector, err := metav1.LabelSelectorAsSelector(&role.obj.AggregationRule.ClusterRoleSelectors[i])
			if err == nil && selector.Matches(labels.Set(part.obj.Labels)) {
				out = append(out, part)
				break
			}
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
		case s.Kind == rbacv1.UserKind && s.Name == "system:serviceaccount:"+namespace+":"+account:
			return true
		case s.Kind == rbacv1.GroupKind && (s.Name == "system:serviceaccounts" || s.Name == "system:serviceaccounts:"+namespace || s.Name == "system:authenticated"):
			return true
		}
	}
	return false
}

// defaultRoles are the ClusterRoles that every cluster has, as far as their
// rules give one of the powers below.
func defaultRoles() map[string][]rbacv1.PolicyRule {
	all := []string{"*"}
	write := []string{"create", "delete", "deletecollection", "patch", "update"}
	edit := []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"secrets", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{""}, Resources: []string{"pods", "pods/attach", "pods/exec", "replicationcontrollers", "serviceaccounts/token"}, Verbs: write},
		{APIGroups: []string{"apps", "batch"}, Resources: []string{"daemonsets", "deployments", "replicasets", "statefulsets", "cronjobs", "jobs"}, Verbs: write},
		{APIGroups: []string{""}, Resources: []string{"serviceaccounts"}, Verbs: []string{"impersonate"}},
	}
	return map[string][]rbacv1.PolicyRule{
		"cluster-admin": {{APIGroups: all, Resources: all, Verbs: all}},
		"admin":         edit,
		"edit":          edit,
	}
}

// power is something that a right can give beyond reading what is one's own.
type power struct {
	rule             string // of the catalogue
	what             string
	groups           []string
	resources, verbs []string
	// named: with resourceNames it is limited to what was meant.
	named bool
}

// podMakers are, by API group, the resources whose creation makes pods.
func podMakers() map[string][]string {
	return map[string][]string{
		"":                           {"pods", "replicationcontrollers"},
		"apps":                       {"deployments", "statefulsets", "daemonsets", "replicasets"},
		"batch":                      {"jobs", "cronjobs"},
		"agents.x-k8s.io":            {"sandboxes"},
		"extensions.agents.x-k8s.io": {"sandboxclaims", "sandboxwarmpools"},
		"sandbox.opensandbox.io":     {"pools", "batchsandboxes"},
		"ray.io":                     {"rayclusters", "rayjobs", "rayservices"},
		"argoproj.io":                {"workflows", "cronworkflows"},
		"serving.kserve.io":          {"inferenceservices", "llminferenceservices"},
		"serving.knative.dev":        {"services"},
		"leaderworkerset.x-k8s.io":   {"leaderworkersets"},
		"kubeflow.org":               {"notebooks"},
		"kagent.dev":                 {"agents", "sandboxagents", "mcpservers", "toolservers"},
		"toolhive.stacklok.dev":      {"mcpservers"},
	}
}

// powers is what findings are made of, the worst first. Creating pods is not
// among them: see spawns.
func powers() []power {
	return []power{
		{"rbac-wildcard", "do everything", []string{"*"}, []string{"*"}, []string{"*"}, true},
		{"rbac-escalate", "give itself any right", []string{"rbac.authorization.k8s.io"}, []string{"roles", "clusterroles"}, []string{"escalate", "bind"}, false},
		{"rbac-escalate", "act as somebody else", []string{""}, []string{"users", "groups", "serviceaccounts"}, []string{"impersonate"}, false},
		{"rbac-escalate", "make tokens of other ServiceAccounts", []string{""}, []string{"serviceaccounts/token"}, []string{"create"}, true},
		{"rbac-exec", "run commands in other pods", []string{""}, []string{"pods/exec", "pods/attach"}, []string{"create", "get"}, true},
		{"rbac-exec", "put a container into other pods", []string{""}, []string{"pods/ephemeralcontainers"}, []string{"update", "patch"}, true},
		{"rbac-exec", "run commands in every pod of a node, past the API server", []string{""}, []string{"nodes/proxy"}, []string{"create", "get"}, true},
		{"rbac-secrets", "read Secrets", []string{""}, []string{"secrets"}, []string{"get", "list", "watch"}, true},
	}
}

// gives reports whether a rule gives the power.
func (p power) gives(r rbacv1.PolicyRule) bool {
	if p.named && len(r.ResourceNames) > 0 {
		return false
	}
	if p.rule == "rbac-wildcard" { // literally everything, not one of everything
		return slices.Contains(r.APIGroups, "*") && slices.Contains(r.Resources, "*") && slices.Contains(r.Verbs, "*")
	}
	return anyOf(r.APIGroups, p.groups) && slices.ContainsFunc(p.resources, func(want string) bool { return hasResource(r.Resources, want) }) && anyOf(r.Verbs, p.verbs)
}

// spawns returns what of the rule lets its holder create pods, "" where nothing
// does. A name does not limit what is created.
func spawns(r rbacv1.PolicyRule) string {
	if !has(r.Verbs, "create") {
		return ""
	}
	makers := podMakers()
	for _, group := range slices.Sorted(maps.Keys(makers)) {
		if !has(r.APIGroups, group) {
			continue
		}
		for _, resource := range makers[group] {
			if hasResource(r.Resources, resource) {
				return resource
			}
		}
	}
	return ""
}

func has(list []string, want string) bool {
	return slices.Contains(list, want) || slices.Contains(list, "*")
}

func anyOf(list, wants []string) bool {
	return slices.ContainsFunc(wants, func(want string) bool { return has(list, want) })
}

// hasResource follows the API server: `*` is everything, `*/exec` the
// subresource of everything.
func hasResource(list []string, want string) bool {
	_, sub, _ := strings.Cut(want, "/")
	return has(list, want) || sub != "" && slices.Contains(list, "*/"+sub)
}

// spawner sets the flag where the pod's account may create pods.
func (j *judgement) spawner() {
	if _, on := j.rules.Catalogue().Rule("rbac-spawner"); !on || !j.token.mounted {
		return
	}
	seen := map[string]bool{} // a role that every cluster has gives several at one place
	for _, r := range j.ix.rights(j.w.Namespace, j.token.account) {
		place := r.from.Kind + "/" + r.from.Name + "/" + r.at.String()
		if what := spawns(r.rule); what != "" && !seen[place] {
			seen[place], j.row.Spawner = true, true
			j.evidenceIn("rbac-spawner", r.from, r.at, "create "+what+": "+r.chain)
		}
	}
}

// told reports whether another pod of the workload has brought the finding.
func (j *judgement) told(rule string, from *manifest.Object, at manifest.Path) bool {
	object, path := from.Kind+"/"+from.Name, at.String()
	return slices.ContainsFunc(j.row.Findings, func(f report.Finding) bool {
		return f.Rule == rule && f.Path == path && f.Object == object
	})
}

// powerful finds what the pod's account may do that it is hard to take back, one
// finding a rule of a role and kind of power.
func (j *judgement) powerful() {
	for _, r := range j.ix.rights(j.w.Namespace, j.token.account) {
		said := ""
		for _, p := range powers() {
			if p.rule == said || said == "rbac-wildcard" || !p.gives(r.rule) {
				continue
			}
			said = p.rule
			if j.told(p.rule, r.from, r.at) {
				continue
			}
			j.findIn(p.rule, r.from, r.at, "", fmt.Sprintf("whatever runs in it may %s: %s", p.what, r.chain))
		}
	}
}
