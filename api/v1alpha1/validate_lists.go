package v1alpha1

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Controls are the parts of the baseline that a waiver may name.
func Controls() []Control {
	return []Control{"run-as-non-root", "seccomp-default", "no-privilege-escalation", "read-only-root", "drop-all-capabilities", Restricted, NoTokens}
}

func (v *validator) egress(at *field.Path) {
	list := v.policy.Spec.Egress
	v.tooMany(at, len(list), maxEgress)
	for i, e := range list {
		at := at.Index(i)
		classes := at.Child("riskClasses")
		if len(e.RiskClasses) == 0 {
			v.add(field.Required(classes, "egress is limited for classes: name at least one"))
		}
		for k, c := range e.RiskClasses {
			oneOf(v, classes.Index(k), string(c), classNames()...)
			if slices.Contains(e.RiskClasses[:k], c) {
				v.add(field.Duplicate(classes.Index(k), c))
			}
		}
		v.tooMany(at.Child("peers"), len(e.Peers), maxPeers)
		for k, p := range e.Peers {
			at := at.Child("peers").Index(k)
			v.match(at.Child("namespace"), p.Namespace, label, 63, "it is the name of a namespace")
			if p.Port < 1 || p.Port > 65535 {
				v.add(field.Invalid(at.Child("port"), p.Port, "it is from 1 to 65535"))
			}
			oneOf(v, at.Child("protocol"), p.Protocol, "TCP", "UDP")
		}
	}
}

func (v *validator) tokens(at *field.Path) {
	t := v.policy.Spec.Tokens
	audiences, accounts := at.Child("audiences"), at.Child("serviceAccounts")
	v.tooMany(audiences, len(t.Audiences), maxRuntimeClasses)
	for i, a := range t.Audiences {
		v.text(audiences.Index(i), a, 255, true)
		if slices.Contains(t.Audiences[:i], a) {
			v.add(field.Duplicate(audiences.Index(i), a))
		}
	}
	v.tooMany(accounts, len(t.ServiceAccounts), maxList)
	for i, a := range t.ServiceAccounts {
		v.match(accounts.Index(i), a, account, 317, "it is NAMESPACE/NAME")
		if slices.Contains(t.ServiceAccounts[:i], a) {
			v.add(field.Duplicate(accounts.Index(i), a))
		}
	}
}

func (v *validator) waivers(at *field.Path) {
	list := v.policy.Spec.Waivers
	v.tooMany(at, len(list), maxWaivers)
	for i, w := range list {
		at := at.Index(i)
		v.responsibility(at, w.Responsibility)
		v.match(at.Child("namespace"), w.Namespace, label, 63, "it is the name of a namespace: a waiver is for one")
		v.selector(at.Child("selector"), w.Selector)
		containers := at.Child("containers")
		if len(w.Containers) == 0 {
			v.add(field.Required(containers, "a waiver names every container that the pods may have"))
		}
		v.tooMany(containers, len(w.Containers), maxRuntimeClasses)
		for k, c := range w.Containers {
			v.match(containers.Index(k), c, label, 63, "it is the name of a container")
			if slices.Contains(w.Containers[:k], c) {
				v.add(field.Duplicate(containers.Index(k), c))
			}
		}
		v.allowance(at.Child("allows"), w.Allows)
	}
}

func (v *validator) selector(at *field.Path, labels map[string]string) {
	if len(labels) == 0 {
		v.add(field.Required(at, "a waiver names labels that the pods have"))
	}
	v.tooMany(at, len(labels), maxRouted)
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		for _, wrong := range validation.IsQualifiedName(key) {
			v.add(field.Invalid(at.Key(key), key, wrong))
		}
		for _, wrong := range validation.IsValidLabelValue(labels[key]) {
			v.add(field.Invalid(at.Key(key), labels[key], wrong))
		}
	}
}

func (v *validator) allowance(at *field.Path, a Allowance) {
	if a.Boundary == "" && len(a.Controls) == 0 {
		v.add(field.Required(at, "boundary or controls is needed: a waiver of nothing is a mistake"))
	}
	if a.Boundary != "" {
		oneOf(v, at.Child("boundary"), a.Boundary, boundaryNames()...)
	}
	for i, c := range a.Controls {
		oneOf(v, at.Child("controls").Index(i), c, Controls()...)
		if slices.Contains(a.Controls[:i], c) {
			v.add(field.Duplicate(at.Child("controls").Index(i), c))
		}
	}
}
