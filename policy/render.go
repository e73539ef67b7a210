package policy

import (
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// Object is a rendered cluster object.
type Object interface {
	metav1.Object
	runtime.Object
}

// Input is what is rendered: everything that a cluster has of it.
type Input struct {
	// Policies are valid, with their defaults set (v1alpha1.Read).
	Policies []*v1alpha1.IsolationPolicy
	Rules    *rules.Catalogue
	// Namespaces get NetworkPolicies and a ServiceAccount without a token, beside
	// those that policies name.
	Namespaces []string
	// Static leaves out what the API server does not take from files: a BreakGlass
	// is a parameter.
	Static bool
}

// Render returns what puts policies into force. The objects are in the order in
// which to apply them; the same input gives the same objects. An error says what
// several policies contradict each other in.
func Render(in Input) ([]Object, error) {
	all, err := sets(in.Policies, in.Static)
	if err != nil {
		return nil, err
	}
	c := in.Rules
	out := runtimeClasses(all[0].trusted)
	if all[0].mode == v1alpha1.Enforce && !in.Static {
		out = append(out, all[0].breakGlass()...)
	}
	parts := baselines(all)
	for i := range all {
		s := &all[i]
		for _, floor := range []bool{false, true} {
			pods, err := s.pods(c, floor, s.shared(parts))
			if err != nil {
				return nil, err
			}
			out = append(out, pods, s.binding(pods, s.actions()...))
		}
		templates := s.templates(c)
		out = append(out, templates, s.binding(templates, s.actions()...))
		if s.mode == v1alpha1.Enforce { // who is only warned gets what was asked for
			for _, floor := range []bool{false, true} {
				assign := s.assign(c, floor)
				out = append(out, assign, s.assignBinding(assign))
			}
		}
	}
	for i := range all {
		spawners := all[i].spawners(c)
		out = append(out, spawners, all[i].binding(spawners, all[i].notice()...))
		if below := all[i].belowRoute(c); below != nil {
			out = append(out, below, all[i].binding(below, admissionv1.Warn, admissionv1.Audit))
		}
	}
	for _, s := range parts {
		if !slices.ContainsFunc(all, func(o set) bool { return o.shared([]set{s}) }) {
			baseline, err := s.baseline(c, true)
			if err != nil {
				return nil, err
			}
			out = append(out, baseline, s.binding(baseline, s.actions()...))
		}
		templates, err := s.baselineTemplates(c)
		if err != nil {
			return nil, err
		}
		out = append(out, templates, s.binding(templates, s.actions()...))
	}
	out = append(out, guards(all)...)
	for _, namespace := range Namespaces(in) {
		for _, p := range in.Policies {
			if p.Spec.Mode == v1alpha1.Enforce && p.Spec.Baseline == v1alpha1.BaselineEnforce && p.Spec.Namespaces.Contain(namespace) {
				out = append(out, ServiceAccount("default", namespace, nil))
				break
			}
		}
		limits, err := networkPolicies(all, namespace)
		if err != nil {
			return nil, err
		}
		out = append(out, limits...)
	}
	return out, nil
}

// Namespaces are those that get objects of their own: the ones that the input
// names, in the order of the alphabet.
func Namespaces(in Input) []string {
	out := slices.Clone(in.Namespaces)
	for _, p := range in.Policies {
		for _, n := range p.Spec.Namespaces.Include {
			if n.Exact() && p.Spec.Namespaces.Contain(string(n)) {
				out = append(out, string(n))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// runtimeClasses are those that the policies manage.
func runtimeClasses(trusted []v1alpha1.RuntimeClass) []Object {
	var out []Object
	for _, c := range trusted {
		if !c.Managed() {
			continue
		}
		out = append(out, &nodev1.RuntimeClass{
			TypeMeta:   metav1.TypeMeta{APIVersion: nodev1.SchemeGroupVersion.String(), Kind: "RuntimeClass"},
			ObjectMeta: metav1.ObjectMeta{Name: c.Name, Labels: managed(nil)},
			Handler:    c.Handler, Overhead: c.Overhead.DeepCopy(), Scheduling: c.Scheduling.DeepCopy(),
		})
	}
	return out
}
