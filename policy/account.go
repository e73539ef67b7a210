package policy

import (
	"errors"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ServiceAccount renders an account whose token no pod gets that does not ask.
func ServiceAccount(name, namespace string, labels map[string]string) *corev1.ServiceAccount {
	off := false
	return &corev1.ServiceAccount{
		TypeMeta:                     metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
		ObjectMeta:                   metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: managed(labels)},
		AutomountServiceAccountToken: &off,
	}
}

// Role renders a role of exact rights: a rule with a wildcard, or without a
// group, a resource or a verb, is an error.
func Role(name, namespace string, labels map[string]string, rules []rbacv1.PolicyRule) (*rbacv1.Role, error) {
	for _, r := range rules {
		if len(r.APIGroups) == 0 || len(r.Resources) == 0 || len(r.Verbs) == 0 {
			return nil, errors.New("a rule without groups, resources or verbs")
		}
		for _, list := range [][]string{r.APIGroups, r.Resources, r.Verbs} {
			if slices.Contains(list, "*") {
				return nil, errors.New("a rule with a wildcard is not exact")
			}
		}
	}
	return &rbacv1.Role{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "Role"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: managed(labels)},
		Rules:      rules,
	}, nil
}

// RoleBinding binds a role to the account of the same name and namespace.
func RoleBinding(name, namespace string, labels map[string]string, account string) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "RoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: managed(labels)},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: account, Namespace: namespace}},
	}
}
