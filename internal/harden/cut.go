package harden

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/bulkhead-dev/bulkhead/internal/decide"
)

// cutter cuts rules of RBAC to what a workload is shown to use.
type cutter struct {
	namespace           string
	secrets, configMaps []string // those that the workload names
	place               func(file string, line int) string
	over                *excess
	kept                []cut
}

// cut is a rule that is exact, and where it comes from.
type cut struct {
	rule rbacv1.PolicyRule
	said string
}

// binding cuts the rules that one binding gives. What it keeps is never more than
// the binding gives in the workload's own namespace.
func (c cutter) binding(grants []decide.Grant) (*excess, []cut) {
	c.over = &excess{binding: grants[0].Binding}
	for _, g := range grants {
		c.over.own = c.over.own || g.Own
		c.grant(g)
	}
	if grants[0].Namespace == "" && len(c.kept) > 0 {
		c.over.what = append(c.over.what, "what it may do holds in every namespace")
	}
	return c.over, c.kept
}

func (c *cutter) grant(g decide.Grant) {
	pos, _ := g.From.Position(g.At)
	from := fmt.Sprintf("%s %s (%s)", g.Role.Kind, g.Role.Name, c.place(g.From.File, pos.Line))
	r := g.Rule
	switch {
	case len(r.APIGroups)+len(r.Resources)+len(r.Verbs)+len(r.NonResourceURLs) == 0:
		c.beyond(from+" is not in the input", nil)
		return
	case g.From == g.Binding:
		c.beyond(from+" is meant for people", generic())
		return
	case len(r.NonResourceURLs) > 0:
		if g.Namespace == "" {
			c.beyond("paths of the API server, by "+from+": they need a ClusterRole of their own", nil)
		}
		return
	case g.Namespace != "" && g.Namespace != c.namespace:
		return // a right elsewhere stays as it is
	case slices.Contains(r.APIGroups, "*") || slices.ContainsFunc(r.Resources, func(s string) bool { return strings.Contains(s, "*") }):
		c.beyond("resources that it does not name, by "+from, generic())
		return
	}
	for _, resource := range r.Resources {
		c.resource(g, resource, from)
	}
}

// resource cuts what a rule gives of one resource.
func (c *cutter) resource(g decide.Grant, resource, from string) {
	r := rbacv1.PolicyRule{APIGroups: g.Rule.APIGroups, Resources: []string{resource}, ResourceNames: g.Rule.ResourceNames, Verbs: g.Rule.Verbs}
	said := []string{from}
	if g.Namespace == "" && ofCluster(resource) {
		c.beyond(fmt.Sprintf("%s, by %s: they are of the whole cluster, and need a ClusterRole of their own", resource, from), nil)
		return
	}
	if slices.Contains(r.Verbs, "*") {
		if r.Verbs = verbs(resource); len(r.Verbs) == 0 {
			c.beyond(fmt.Sprintf("every verb on %s, by %s", resource, from), lines(r.APIGroups, resource, "VERB"))
			return
		}
		c.beyond(fmt.Sprintf("every verb on %s, by %s", resource, from), nil)
		said = append(said, "each verb written out")
	}
	if names, limited := c.named(r); limited {
		if len(names) == 0 {
			c.beyond(fmt.Sprintf("every Secret, by %s, and the workload names none", from), append(lines(r.APIGroups, resource, "get"), "  resourceNames: [NAME-OF-THE-SECRET]"))
			return
		}
		c.beyond(fmt.Sprintf("%s of every name, by %s", resource, from), nil)
		lost := slices.DeleteFunc(slices.Clone(r.Verbs), reads)
		if len(lost) > 0 {
			c.beyond(fmt.Sprintf("%s on %s, by %s", strings.Join(lost, ", "), resource, from), lines(r.APIGroups, resource, strings.Join(lost, ", ")))
		}
		r.ResourceNames = names
		r.Verbs = slices.DeleteFunc(slices.Clone(r.Verbs), func(v string) bool { return !reads(v) })
		said = append(said, "those that the workload names, to read")
		if len(r.Verbs) == 0 {
			return
		}
	}
	c.keep(cut{r, strings.Join(said, "; ")})
}

// keep adds a rule, to the one before where it is the same about another resource.
func (c *cutter) keep(k cut) {
	if n := len(c.kept); n > 0 {
		last := &c.kept[n-1]
		a, b := last.rule, k.rule
		a.Resources, b.Resources = nil, nil
		if last.said == k.said && reflect.DeepEqual(a, b) {
			last.rule.Resources = append(last.rule.Resources, k.rule.Resources...)
			return
		}
	}
	c.kept = append(c.kept, k)
}

func reads(verb string) bool { return slices.Contains([]string{"get", "list", "watch"}, verb) }

// named returns the names to which a rule is limited; limited is false where it is
// about them already, or about what has no names that the input could show.
func (c *cutter) named(r rbacv1.PolicyRule) (names []string, limited bool) {
	core := slices.Equal(r.APIGroups, []string{""})
	switch {
	case len(r.ResourceNames) > 0 || !core:
		return nil, false
	case r.Resources[0] == "secrets":
		return c.secrets, true
	case r.Resources[0] == "configmaps" && len(c.configMaps) > 0:
		return c.configMaps, true
	}
	return nil, false
}

func (c *cutter) beyond(what string, lines []string) {
	if !slices.Contains(c.over.what, what) {
		c.over.what = append(c.over.what, what)
		c.over.lines = append(c.over.lines, lines...)
	}
}

// verbs returns the verbs that a resource has, for a rule with all of them. What
// reaches beyond the resource (bind, escalate, impersonate, use) is not among them.
// Nil where they are not known.
func verbs(resource string) []string {
	_, sub, is := strings.Cut(resource, "/")
	switch {
	case !is:
		return []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"}
	case sub == "log":
		return []string{"get"}
	case sub == "status", sub == "scale", sub == "ephemeralcontainers":
		return []string{"get", "update", "patch"}
	case sub == "exec", sub == "attach", sub == "portforward":
		return []string{"get", "create"}
	case sub == "eviction", sub == "binding", sub == "token":
		return []string{"create"}
	}
	return nil
}

// ofCluster reports whether a resource is in no namespace, as far as is known.
func ofCluster(resource string) bool {
	resource, _, _ = strings.Cut(resource, "/")
	return slices.Contains([]string{
		"nodes", "namespaces", "persistentvolumes", "clusterroles", "clusterrolebindings", "storageclasses", "runtimeclasses", "priorityclasses",
		"ingressclasses", "customresourcedefinitions", "apiservices", "csidrivers", "csinodes", "volumeattachments", "certificatesigningrequests",
		"tokenreviews", "subjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews", "mutatingwebhookconfigurations",
		"validatingwebhookconfigurations", "validatingadmissionpolicies", "validatingadmissionpolicybindings", "users", "groups",
	}, resource)
}

func generic() []string { return lines([]string{"GROUP"}, "RESOURCE", "VERB") }

// lines are those of a rule. Words in capitals are for a person to replace.
func lines(groups []string, resource, verb string) []string {
	quoted := make([]string, len(groups))
	for i, g := range groups {
		quoted[i] = fmt.Sprintf("%q", g)
	}
	return []string{"- apiGroups: [" + strings.Join(quoted, ", ") + "]", "  resources: [" + resource + "]", "  verbs: [" + verb + "]"}
}
