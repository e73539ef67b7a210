package policy

import (
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

// Render returns what puts policies into force: all policies of a cluster
// together, valid ones with their defaults set (v1alpha1.Read). The objects are in
// the order in which to apply them; the same input gives the same objects. An
// error says what several policies contradict each other in.
func Render(policies []*v1alpha1.IsolationPolicy, c *rules.Catalogue) ([]Object, error) {
	all, err := sets(policies)
	if err != nil {
		return nil, err
	}
	out := runtimeClasses(all[0].trusted)
	for i := range all {
		s := &all[i]
		pods := s.pods(c)
		out = append(out, pods, s.binding(pods, s.actions()...))
		if s.mode == v1alpha1.Enforce { // who is only warned gets what was asked for
			assign := s.assign(c)
			out = append(out, assign, s.assignBinding(assign))
		}
	}
	for i := range all {
		if below := all[i].belowRoute(c); below != nil {
			out = append(out, below, all[i].binding(below, admissionv1.Warn, admissionv1.Audit))
		}
	}
	for _, s := range baselines(all) {
		baseline, err := s.baseline(c)
		if err != nil {
			return nil, err
		}
		out = append(out, baseline, s.binding(baseline, s.actions()...))
	}
	return out, nil
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
			ObjectMeta: metav1.ObjectMeta{Name: c.Name, Labels: map[string]string{"app.kubernetes.io/managed-by": "bulkhead"}},
			Handler:    c.Handler, Overhead: c.Overhead.DeepCopy(), Scheduling: c.Scheduling.DeepCopy(),
		})
	}
	return out
}
