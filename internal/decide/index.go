package decide

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime"
	psa "k8s.io/pod-security-admission/policy"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// index holds the objects of the input that say something about pods which are
// not their own.
type index struct {
	classes  map[string]runtimeClass // by name
	handlers map[string]string       // of classes, by name
	policies []indexed[networkingv1.NetworkPolicy]
	accounts map[key]indexed[corev1.ServiceAccount]
	roles    map[key]indexed[rbacv1.ClusterRole] // Roles too; cluster-scoped ones have no namespace
	bindings []indexed[rbacv1.ClusterRoleBinding]
	settings map[settingsKey][]*manifest.Object // ConfigMaps and Secrets; of one name, a folder of overlays has several
	services []*manifest.Object
	fronts   []*manifest.Object // what leads calls from outside to services
	guards   []*manifest.Object // policies that ask who calls
	peers    []config.Peer      // of the configuration
	// namespaces are those of the input, by name.
	namespaces map[string][]namespace
	// standards are prepared when the first namespace asks for them.
	standards func() (psa.Evaluator, error)
}

type key struct{ namespace, name string }

// runtimeClass is a RuntimeClass of the input, or of the configuration (then
// from is nil).
type runtimeClass struct {
	handler   string
	from      *manifest.Object
	scheduled bool  // it says which nodes have the handler
	memory    int64 // bytes of overhead a pod; 0 where it declares none
}

func newRuntimeClass(rc indexed[nodev1.RuntimeClass]) runtimeClass {
	c := runtimeClass{handler: rc.obj.Handler, from: rc.from}
	c.scheduled = rc.obj.Scheduling != nil && len(rc.obj.Scheduling.NodeSelector) > 0
	if rc.obj.Overhead != nil {
		c.memory = rc.obj.Overhead.PodFixed.Memory().Value()
	}
	return c
}

func (c runtimeClass) boundary() boundary.Boundary {
	rt, _ := boundary.RuntimeForHandler(c.handler)
	b, _ := rt.Boundary()
	return b
}

// indexed is a decoded object and where it came from.
type indexed[T any] struct {
	from *manifest.Object
	obj  T
}

// byName orders objects so that what is said does not depend on the order in
// which they were read.
func byName[T any](a, b indexed[T]) int {
	return cmp.Or(cmp.Compare(a.from.Kind, b.from.Kind), cmp.Compare(a.from.Namespace, b.from.Namespace), cmp.Compare(a.from.Name, b.from.Name))
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
func newIndex(objects []*manifest.Object, cfg config.Config) (*index, []*manifest.Error) {
	ix := &index{peers: cfg.Peers, classes: map[string]runtimeClass{}, handlers: map[string]string{}, accounts: map[key]indexed[corev1.ServiceAccount]{}, roles: map[key]indexed[rbacv1.ClusterRole]{}, namespaces: map[string][]namespace{}, settings: map[settingsKey][]*manifest.Object{}, standards: sync.OnceValues(newStandards)}
	for name, handler := range cfg.RuntimeClasses {
		ix.classes[name] = runtimeClass{handler: handler}
	}
	var errs []*manifest.Error
	for _, o := range objects {
		if err := ix.add(o); err != nil {
			pos, _ := o.Position(nil)
			errs = append(errs, &manifest.Error{File: o.File, Line: pos.Line, Column: pos.Column,
				Reason: fmt.Sprintf("%s/%s: %v", o.Kind, o.Name, err), Hint: "see `kubectl explain " + o.Kind + "`"})
		}
	}
	for name, c := range ix.classes {
		ix.handlers[name] = c.handler
	}
	slices.SortStableFunc(ix.policies, byName)
	slices.SortStableFunc(ix.bindings, byName)
	for _, list := range [][]*manifest.Object{ix.services, ix.fronts} {
		slices.SortStableFunc(list, func(a, b *manifest.Object) int { return byName(indexed[any]{from: a}, indexed[any]{from: b}) })
	}
	return ix, errs
}

func (ix *index) add(o *manifest.Object) error {
	switch o.Group() + "/" + o.Kind {
	case "node.k8s.io/RuntimeClass":
		rc, err := decode[nodev1.RuntimeClass](o)
		if err == nil {
			ix.addClass(o.Name, newRuntimeClass(rc))
		}
		return err
	case "networking.k8s.io/NetworkPolicy":
		np, err := decode[networkingv1.NetworkPolicy](o)
		if err == nil {
			ix.policies = append(ix.policies, np)
		}
		return err
	case "/ConfigMap", "/Secret":
		k := settingsKey{o.Kind, key{namespaceOf(o.Namespace), o.Name}}
		ix.settings[k] = append(ix.settings[k], o)
	case "/Service":
		ix.services = append(ix.services, o)
	case "gateway.envoyproxy.io/SecurityPolicy", "security.istio.io/AuthorizationPolicy":
		ix.guards = append(ix.guards, o)
	case "/Namespace":
		ix.namespaces[o.Name] = append(ix.namespaces[o.Name], newNamespace(o))
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
	if isFront(o) {
		ix.fronts = append(ix.fronts, o)
	}
	return nil
}

// addClass adds a RuntimeClass of the input, which knows better than the
// configuration. Of two in the input (a folder of overlays) the weaker counts:
// which of them a cluster has cannot be told.
func (ix *index) addClass(name string, c runtimeClass) {
	if other, ok := ix.classes[name]; ok && other.from != nil && other.boundary() <= c.boundary() {
		return
	}
	ix.classes[name] = c
}

// runtimeClasses returns what is known of RuntimeClasses, by name, as reported;
// configFile is where those come from that no object of the input is.
func (ix *index) runtimeClasses(configFile string) []report.RuntimeClass {
	var out []report.RuntimeClass
	for _, name := range slices.Sorted(maps.Keys(ix.classes)) {
		c := ix.classes[name]
		row := report.RuntimeClass{Name: name, Handler: c.handler, File: configFile}
		if c.from != nil {
			row.File, row.Line = c.from.File, line(c.from)
		}
		if b := c.boundary(); b != 0 {
			row.Boundary = b.String()
		}
		out = append(out, row)
	}
	return out
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
