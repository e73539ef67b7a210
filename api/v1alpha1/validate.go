package v1alpha1

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/risk"
)

// Bounds of the schema.
const (
	maxNamespaces     = 256
	maxRuntimeClasses = 32
	maxRouted         = 16
	maxEgress         = 16
	maxPeers          = 64
	maxWaivers        = 64
	maxList           = 64
	maxReason         = 1024
)

// Validate reports everything that is wrong with a policy whose defaults are
// set, field by field, in the order of the fields: what the schema refuses, and what
// it cannot say.
func (p *IsolationPolicy) Validate() field.ErrorList {
	v := &validator{policy: p}
	if p.APIVersion != APIVersion {
		v.add(field.NotSupported(field.NewPath("apiVersion"), p.APIVersion, []string{APIVersion}))
	}
	if p.Kind != IsolationPolicyKind {
		v.add(field.NotSupported(field.NewPath("kind"), p.Kind, []string{IsolationPolicyKind}))
	}
	name := field.NewPath("metadata", "name")
	if p.Name == "" {
		v.add(field.Required(name, "a policy has a name"))
	} else if wrong := validation.IsDNS1123Subdomain(p.Name); len(wrong) > 0 {
		v.add(field.Invalid(name, p.Name, wrong[0]))
	}
	if p.Namespace != "" {
		v.add(field.Forbidden(field.NewPath("metadata", "namespace"), "a policy is for the cluster: it has no namespace"))
	}
	spec, at := &p.Spec, field.NewPath("spec")
	oneOf(v, at.Child("mode"), spec.Mode, Audit, Warn, Enforce)
	oneOf(v, at.Child("baseline"), spec.Baseline, BaselineOff, BaselineWarn, BaselineEnforce)
	oneOf(v, at.Child("unknown"), spec.Unknown, append(classNames(), Deny)...)
	v.namespaces(at.Child("namespaces"))
	v.undeclared(at.Child("undeclared"), spec.Undeclared)
	v.runtimeClasses(at.Child("runtimeClasses"))
	v.routes(at.Child("routes"))
	v.egress(at.Child("egress"))
	v.tokens(at.Child("tokens"))
	v.waivers(at.Child("waivers"))
	return v.errs
}

// Deny, as Unknown, denies an LLM workload that the evidence cannot place.
const Deny = "Deny"

type validator struct {
	policy *IsolationPolicy
	errs   field.ErrorList
}

func (v *validator) add(err *field.Error) { v.errs = append(v.errs, err) }

func oneOf[T ~string](v *validator, at *field.Path, value T, known ...T) {
	switch {
	case slices.Contains(known, value):
	case value == "":
		v.add(field.Required(at, "it is one of "+join(known)))
	default:
		v.add(field.NotSupported(at, value, known))
	}
}

func join[T ~string](names []T) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = string(n)
	}
	return strings.Join(out, ", ")
}

func classNames() []string {
	var out []string
	for _, c := range risk.Classes() {
		if c >= risk.Inference {
			out = append(out, c.String())
		}
	}
	return out
}

func boundaryNames() []Boundary {
	var out []Boundary
	for _, b := range boundary.All() {
		out = append(out, Boundary(b.String()))
	}
	return out
}

func (v *validator) tooMany(at *field.Path, n, most int) {
	if n > most {
		v.add(field.TooMany(at, n, most))
	}
}

func (v *validator) text(at *field.Path, value string, most int, required bool) {
	switch {
	case required && value == "":
		v.add(field.Required(at, ""))
	case len(value) > most:
		v.add(field.TooLong(at, "", most))
	}
}

func (v *validator) match(at *field.Path, value string, pattern *regexp.Regexp, most int, form string) bool {
	switch {
	case len(value) > most:
		v.add(field.TooLong(at, "", most))
	case !pattern.MatchString(value):
		v.add(field.Invalid(at, value, form))
	default:
		return true
	}
	return false
}

var (
	namespacePattern = regexp.MustCompile(`^[a-z0-9*]([a-z0-9*-]*[a-z0-9*])?$`)
	label            = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	subdomain        = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`)
	imagePattern     = regexp.MustCompile(`^[A-Za-z0-9._*-]+(:[0-9]+/[A-Za-z0-9._*-]+)?(/[A-Za-z0-9._*-]+)*$`)
	account          = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?/[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
)

func (v *validator) patterns(at *field.Path, list []NamespacePattern, most int) {
	v.tooMany(at, len(list), most)
	for i, p := range list {
		v.match(at.Index(i), string(p), namespacePattern, 63, "it is the name of a namespace, in which * stands for any characters")
	}
}

func (v *validator) namespaces(at *field.Path) {
	spec := v.policy.Spec
	v.patterns(at.Child("include"), spec.Namespaces.Include, maxNamespaces)
	v.patterns(at.Child("exclude"), spec.Namespaces.Exclude, maxNamespaces)
	if spec.Mode == Enforce && spec.Namespaces.Contain("kube-system") {
		v.add(field.Forbidden(at, "mode Enforce with kube-system in scope could lock everybody out of the cluster: add kube-system to spec.namespaces.exclude"))
	}
}

// SystemNamespace is where Bulkhead's own parts run. It is never in scope, and
// who may make it is guarded.
const SystemNamespace = "bulkhead-system"

// Contain reports whether the namespace is in scope.
func (n Namespaces) Contain(name string) bool {
	matches := func(p NamespacePattern) bool { return p.Match(name) }
	return name != SystemNamespace && (len(n.Include) == 0 || slices.ContainsFunc(n.Include, matches)) && !slices.ContainsFunc(n.Exclude, matches)
}

// Exact reports whether the pattern is a name.
func (p NamespacePattern) Exact() bool { return !strings.Contains(string(p), "*") }

// Match reports whether the namespace has such a name.
func (p NamespacePattern) Match(name string) bool {
	first, rest, glob := strings.Cut(string(p), "*")
	if !glob {
		return name == first
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name = name[i+len(part):]
	}
	return strings.HasSuffix(name, last)
}

func (v *validator) undeclared(at *field.Path, u Undeclared) {
	oneOf(v, at.Child("mode"), u.Mode, Evidence, FloorOnly)
	oneOf(v, at.Child("floor"), u.Floor, boundaryNames()...)
	if b, err := boundary.Parse(string(u.Floor)); err == nil && !v.policy.Spec.canGive(b) {
		v.add(field.Forbidden(at.Child("floor"), fmt.Sprintf("no RuntimeClass of spec.runtimeClasses gives %s: every pod would be denied", b)))
	}
	exempt := at.Child("exempt")
	v.patterns(exempt.Child("namespaces"), u.Exempt.Namespaces, maxList)
	v.tooMany(exempt.Child("images"), len(u.Exempt.Images), maxList)
	for i, p := range u.Exempt.Images {
		at := exempt.Child("images").Index(i)
		if v.match(at, string(p), imagePattern, 255, "it is a repository such as registry.example/team/*, without tag and digest") && strings.Trim(string(p), "*/") == "" {
			v.add(field.Invalid(at, string(p), "it is every image"))
		}
	}
}

func (v *validator) runtimeClasses(at *field.Path) {
	list := v.policy.Spec.RuntimeClasses
	v.tooMany(at, len(list), maxRuntimeClasses)
	for i, c := range list {
		at := at.Index(i)
		v.match(at.Child("name"), c.Name, subdomain, 253, "it is the name of a RuntimeClass")
		if slices.ContainsFunc(list[:i], func(o RuntimeClass) bool { return o.Name == c.Name }) {
			v.add(field.Duplicate(at.Child("name"), c.Name))
		}
		given, known := boundary.Runtime(c.Runtime).Boundary()
		if !known {
			v.add(field.NotSupported(at.Child("runtime"), boundary.Runtime(c.Runtime), boundary.Runtimes()))
		}
		if !v.match(at.Child("handler"), c.Handler, label, 63, "it is the name of a handler on the nodes") {
			continue
		}
		if rt, ok := boundary.RuntimeForHandler(c.Handler); ok && known {
			if b, _ := rt.Boundary(); b < given {
				v.add(field.Invalid(at.Child("handler"), c.Handler, fmt.Sprintf("this handler is known as %s, which gives %s; %s would give %s", rt, b, c.Runtime, given)))
			}
		}
	}
}

// Gives returns the boundary that pods get by a name of a route.
func (s *IsolationPolicySpec) Gives(name string) (boundary.Boundary, bool) {
	if name == NodeDefault {
		return boundary.SharedKernel, true
	}
	for _, c := range s.RuntimeClasses {
		if c.Name == name {
			return boundary.Runtime(c.Runtime).Boundary()
		}
	}
	return 0, false
}

// canGive reports whether pods can get a boundary at all.
func (s *IsolationPolicySpec) canGive(b boundary.Boundary) bool {
	return b == boundary.SharedKernel || slices.ContainsFunc(s.RuntimeClasses, func(c RuntimeClass) bool {
		given, _ := boundary.Runtime(c.Runtime).Boundary()
		return given >= b
	})
}

func (v *validator) routes(at *field.Path) {
	spec := &v.policy.Spec
	for i, r := range spec.Routes {
		at := at.Index(i)
		oneOf(v, at.Child("riskClass"), string(r.RiskClass), classNames()...)
		if slices.ContainsFunc(spec.Routes[:i], func(o Route) bool { return o.RiskClass == r.RiskClass }) {
			v.add(field.Duplicate(at.Child("riskClass"), r.RiskClass))
		}
		names := at.Child("runtimeClasses")
		if len(r.RuntimeClasses) == 0 {
			v.add(field.Required(names, "a route names at least one RuntimeClass, or NodeDefault"))
		}
		v.tooMany(names, len(r.RuntimeClasses), maxRouted)
		for k, name := range r.RuntimeClasses {
			if _, ok := spec.Gives(name); !ok {
				v.add(field.Invalid(names.Index(k), name, "it is not in spec.runtimeClasses"))
			}
			if name == NodeDefault && slices.Contains(r.RuntimeClasses[:k], name) {
				v.add(field.Duplicate(names.Index(k), name))
			}
		}
		if r.Waiver != nil {
			v.responsibility(at.Child("waiver"), *r.Waiver)
			continue
		}
		class, err := risk.ParseClass(string(r.RiskClass))
		if err != nil {
			continue
		}
		if least := LeastBoundary(class); len(r.RuntimeClasses) > 0 {
			for k, name := range r.RuntimeClasses {
				if b, ok := spec.Gives(name); ok && b < least {
					v.add(field.Forbidden(names.Index(k), fmt.Sprintf("%s gives %s, and class %s calls for %s: add a waiver with owner, reason and expires to the route, or take it out", name, b, class, least)))
				}
			}
		}
	}
}

// LeastBoundary is what the risk of a class calls for.
func LeastBoundary(c risk.Class) boundary.Boundary {
	return boundary.DefaultRoutes().Require(c, risk.Flags{}).Boundary
}

func (v *validator) responsibility(at *field.Path, r Responsibility) {
	v.text(at.Child("owner"), r.Owner, 253, true)
	v.text(at.Child("ticket"), r.Ticket, 253, false)
	v.text(at.Child("reason"), r.Reason, maxReason, true)
	if _, err := r.Until(); err != nil {
		v.add(field.Invalid(at.Child("expires"), r.Expires, "it is a day such as 2027-06-30"))
	}
}

// Until is the first moment at which it does not hold any more.
func (r Responsibility) Until() (time.Time, error) {
	day, err := time.Parse(time.DateOnly, r.Expires)
	return day.AddDate(0, 0, 1), err
}
