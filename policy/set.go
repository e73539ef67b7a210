package policy

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/risk"
)

// set is the policies of a cluster that have one mode, in the order of their
// names. Where several hold for a namespace, the strictest counts.
type set struct {
	mode     v1alpha1.Mode
	policies []*v1alpha1.IsolationPolicy
	// trusted are the RuntimeClasses of all policies of the cluster: what gives
	// which boundary is a fact about its nodes.
	trusted []v1alpha1.RuntimeClass
	static  bool // Input.Static
}

// sets sorts policies by their modes; a mode without policies has none.
func sets(policies []*v1alpha1.IsolationPolicy, static bool) ([]set, error) {
	policies = slices.SortedFunc(slices.Values(policies), func(a, b *v1alpha1.IsolationPolicy) int { return cmp.Compare(a.Name, b.Name) })
	var trusted []v1alpha1.RuntimeClass
	for i, p := range policies {
		if i > 0 && policies[i-1].Name == p.Name {
			return nil, fmt.Errorf("two policies are named %q", p.Name)
		}
		for _, c := range p.Spec.RuntimeClasses {
			k := slices.IndexFunc(trusted, func(o v1alpha1.RuntimeClass) bool { return o.Name == c.Name })
			if k < 0 {
				trusted = append(trusted, c)
			} else if !reflect.DeepEqual(trusted[k], c) {
				return nil, fmt.Errorf("policy %q says something else about RuntimeClass %q than one before it: a RuntimeClass is one object", p.Name, c.Name)
			}
		}
	}
	slices.SortFunc(trusted, func(a, b v1alpha1.RuntimeClass) int { return cmp.Compare(a.Name, b.Name) })
	var out []set
	for _, mode := range []v1alpha1.Mode{v1alpha1.Enforce, v1alpha1.Warn, v1alpha1.Audit} {
		s := set{mode: mode, trusted: trusted, static: static}
		for _, p := range policies {
			if p.Spec.Mode == mode {
				s.policies = append(s.policies, p)
			}
		}
		if len(s.policies) > 0 {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no policies")
	}
	return out, nil
}

// gives is the boundary of a name of a route.
func (s *set) gives(name string) boundary.Boundary {
	for _, c := range s.trusted {
		if c.Name == name {
			b, _ := boundary.Runtime(c.Runtime).Boundary()
			return b
		}
	}
	return boundary.SharedKernel
}

// denied is above every boundary: nothing satisfies it.
const denied = boundary.VirtualMachine + 1

// route is what pods of a class get from one policy.
type route struct {
	// required is the weakest boundary that is enough.
	required boundary.Boundary
	// waived is what is enough as long as a waiver of the route holds.
	waived boundary.Boundary
	waiver *v1alpha1.Responsibility
	// choices are the RuntimeClasses for a pod without one, by the boundary that
	// it has to give; "" leaves the pod as it is.
	choices map[boundary.Boundary]string
}

// route is what a policy says of a class.
func (s *set) route(p *v1alpha1.IsolationPolicy, class risk.Class) route {
	if class == risk.Unknown {
		if p.Spec.Unknown == v1alpha1.Deny {
			return route{required: denied, waived: denied}
		}
		class, _ = risk.ParseClass(p.Spec.Unknown) // validated
	}
	out := route{required: boundary.SharedKernel, choices: map[boundary.Boundary]string{}}
	var names []string
	if class > risk.None {
		out.required = v1alpha1.LeastBoundary(class)
		if i := slices.IndexFunc(p.Spec.Routes, func(r v1alpha1.Route) bool { return string(r.RiskClass) == class.String() }); i >= 0 {
			r := p.Spec.Routes[i]
			names = r.RuntimeClasses
			weakest := boundary.VirtualMachine
			for _, name := range names {
				weakest = min(weakest, s.gives(name))
			}
			if weakest < out.required {
				out.waived, out.waiver = weakest, r.Waiver
			} else {
				out.required = weakest
			}
		}
	}
	if len(names) == 0 && out.required == boundary.SharedKernel {
		names = []string{v1alpha1.NodeDefault}
	}
	for _, c := range p.Spec.RuntimeClasses {
		names = append(slices.Clip(names), c.Name)
	}
	for _, b := range boundary.All() {
		i := slices.IndexFunc(names, func(name string) bool { return s.gives(name) >= b })
		if i >= 0 && names[i] != v1alpha1.NodeDefault {
			out.choices[b] = names[i]
		}
	}
	return out
}
