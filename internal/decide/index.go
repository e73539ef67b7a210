package decide

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// index holds the objects of the input that say something about pods which are
// not their own.
type index struct {
	handlers map[string]string // RuntimeClass name -> handler
	policies []indexed[networkingv1.NetworkPolicy]
	accounts map[key]indexed[corev1.ServiceAccount]
	roles    map[key]indexed[rbacv1.ClusterRole] // Roles too; cluster-scoped ones have no namespace
	bindings []indexed[rbacv1.ClusterRoleBinding]
}

type key struct{ namespace, name string }

// indexed is a decoded object and where it came from.
type indexed[T any] struct {
	from *manifest.Object
	obj  T
}

// namespaceOf returns the namespace that an object lands in where it names none.
func namespaceOf(ns string) string {
	if ns == "" {
		return "default"
	}
	return ns
}

// newIndex reads what it needs from the objects. An object that does not decode
// becomes an error, and is left out.
func newIndex(objects []*manifest.Object, runtimeClasses map[string]string) (*index, []*manifest.Error) {
	ix := &index{handlers: map[string]string{}, accounts: map[key]indexed[corev1.ServiceAccount]{}, roles: map[key]indexed[rbacv1.ClusterRole]{}}
	for name, handler := range runtimeClasses {
		ix.handlers[name] = handler
	}
	var errs []*manifest.Error
	for _, o := range objects {
		if err := ix.add(o); err != nil {
			pos, _ := o.Position(nil)
			errs = append(errs, &manifest.Error{File: o.File, Line: pos.Line, Column: pos.Column,
				Reason: fmt.Sprintf("%s/%s: %v", o.Kind, o.Name, err), Hint: "see `kubectl explain " + o.Kind + "`"})
		}
	}
	return ix, errs
}

func (ix *index) add(o *manifest.Object) error {
	switch o.Group() + "/" + o.Kind {
	case "node.k8s.io/RuntimeClass":
		rc, err := decode[nodev1.RuntimeClass](o)
		if err == nil {
			ix.handlers[o.Name] = rc.obj.Handler
		}
		return err
	case "networking.k8s.io/NetworkPolicy":
		np, err := decode[networkingv1.NetworkPolicy](o)
		if err == nil {
			ix.policies = append(ix.policies, np)
		}
		return err
	case "/ServiceAccount":
		sa, err := decode[corev1.ServiceAccount](o)
		if err == nil {
			ix.accounts[key{namespaceOf(o.Namespace), o.Name}] = sa
		}
		return err
	case "rbac.authorization.k8s.io/Role", "rbac.authorization.k8s.io/ClusterRole":
		role, err := decode[rbacv1.ClusterRole](o)
		if err == nil {
			ix.roles[key{scopeOf(o, "Role"), o.Name}] = role
		}
		return err
	case "rbac.authorization.k8s.io/RoleBinding", "rbac.authorization.k8s.io/ClusterRoleBinding":
		b, err := decode[rbacv1.ClusterRoleBinding](o)
		if err == nil {
			ix.bindings = append(ix.bindings, b)
		}
		return err
	}
	return nil
}

// scopeOf returns the namespace of an object of the namespaced kind, "" for its
// cluster-scoped sibling.
func scopeOf(o *manifest.Object, namespaced string) string {
	if o.Kind == namespaced {
		return namespaceOf(o.Namespace)
	}
	return ""
}

func decode[T any](o *manifest.Object) (indexed[T], error) {
	out := indexed[T]{from: o}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Value, &out.obj); err != nil {
		return out, fmt.Errorf("wrong type in a field: %w", err)
	}
	return out, nil
}
