package admission

import (
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// resources are the kinds that are judged, by group and kind.
func resources() map[schema.GroupKind]string {
	return map[schema.GroupKind]string{
		{Group: "", Kind: "Pod"}:                                       "pods",
		{Group: "", Kind: "ReplicationController"}:                     "replicationcontrollers",
		{Group: "apps", Kind: "Deployment"}:                            "deployments",
		{Group: "apps", Kind: "StatefulSet"}:                           "statefulsets",
		{Group: "apps", Kind: "DaemonSet"}:                             "daemonsets",
		{Group: "apps", Kind: "ReplicaSet"}:                            "replicasets",
		{Group: "batch", Kind: "Job"}:                                  "jobs",
		{Group: "batch", Kind: "CronJob"}:                              "cronjobs",
		{Group: "agents.x-k8s.io", Kind: "Sandbox"}:                    "sandboxes",
		{Group: "extensions.agents.x-k8s.io", Kind: "SandboxTemplate"}: "sandboxtemplates",
		{Group: "networking.k8s.io", Kind: "NetworkPolicy"}:            networkPolicies,
	}
}

// networkPolicies are the one resource that is judged and makes no pods.
const networkPolicies = "networkpolicies"

// judges reports whether a policy can be about one of resources.
func judges(m *admissionv1.MatchResources) bool {
	for kind, resource := range resources() {
		for _, r := range m.ResourceRules {
			if slices.Contains(r.APIGroups, kind.Group) && slices.Contains(r.Resources, resource) {
				return true
			}
		}
	}
	return false
}

// matches reports whether a policy is about a request.
func (c *compiled) matches(r *review) (bool, error) {
	resource := r.resource.Resource
	if r.subresource != "" {
		resource += "/" + r.subresource
	}
	if !slices.ContainsFunc(c.constraints.ResourceRules, func(rule admissionv1.NamedRuleWithOperations) bool {
		return slices.Contains(rule.APIGroups, r.resource.Group) && slices.Contains(rule.Resources, resource) &&
			(slices.Contains(rule.APIVersions, "*") || slices.Contains(rule.APIVersions, r.resource.Version)) &&
			slices.Contains(rule.Operations, r.operation)
	}) {
		return false, nil
	}
	for _, s := range []struct {
		selector *metav1.LabelSelector
		labels   map[string]string
	}{{c.constraints.NamespaceSelector, r.namespaceLabels}, {c.constraints.ObjectSelector, r.labels()}} {
		if s.selector == nil {
			continue
		}
		selector, err := metav1.LabelSelectorAsSelector(s.selector)
		if err != nil {
			return false, err
		}
		if !selector.Matches(labels.Set(s.labels)) {
			return false, nil
		}
	}
	return true, nil
}
