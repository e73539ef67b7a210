package manifest

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/bulkhead-dev/bulkhead/risk"
)

// Workload is one pod of an object that makes pods. An object with several
// (leader and worker) has one Workload for each.
type Workload struct {
	*Object
	Role string // which of several pods; "" where there is one
	// Source is the object that the pod is written in: Object itself, or the one
	// that it refers to (a pool and its template).
	Source *Object
	// Template is where the pod is in Source; empty for a Pod.
	Template Path
	// Pod is the pod as admission would see it: apiVersion, kind, metadata (with
	// the object's namespace) and spec. It is read-only.
	Pod map[string]any
	// Bare says why the pod has no spec: its controller writes it, or it is in an
	// object that was not read. "" where it has one.
	Bare string
	// Assembled: the pod is put together from fields of its kind. There is no
	// telling which other fields of a pod the kind has.
	Assembled bool
	// Unknown are fields of the pod that the API server does not know and drops
	// with a warning, as paths in Source: mostly typos, and a typo in a security
	// field is a hole.
	Unknown []Path
	// Shown is what the kind itself and its fields show. It is the same for every
	// pod of an object.
	Shown []Shown

	// parts are the places in Source of parts of the pod that do not stand
	// where they would in a template.
	parts []part
}

// Shown is a field of the object that shows what it is for.
type Shown struct {
	Path  Path // in the object
	Class risk.Class
	Why   string
}

// part says that what is at pod in the pod stands at source in the object.
type part struct{ pod, source Path }

// ObjectPath turns a path in the pod into the path in Source.
func (w *Workload) ObjectPath(pod Path) Path {
	best := part{source: w.Template}
	for _, p := range w.parts {
		if len(p.pod) > len(best.pod) && pod.hasPrefix(p.pod) {
			best = p
		}
	}
	return best.source.Join(pod[len(best.pod):]...)
}

// TypedPod decodes the pod into the API type.
func (w *Workload) TypedPod() (*corev1.Pod, error) {
	var pod corev1.Pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(w.Pod, &pod); err != nil {
		return nil, fmt.Errorf("decoding the pod of %s/%s: %w", w.Kind, w.Name, err)
	}
	return &pod, nil
}

// Referred are the objects that others of the input may refer to.
type Referred map[reference]*Object

type reference struct{ group, kind, namespace, name string }

// Referred picks from the input what kinds of the scheme refer to.
func (s *Scheme) Referred(objects []*Object) Referred {
	kinds := map[[2]string]bool{}
	for _, k := range s.kinds {
		for _, r := range k.References {
			kinds[[2]string{cmp.Or(r.Group, k.Group), r.Kind}] = true
		}
	}
	out := Referred{}
	for _, o := range objects {
		if kinds[[2]string{o.Group(), o.Kind}] {
			o = o.Whole()
			out[reference{o.Group(), o.Kind, cmp.Or(o.Namespace, "default"), o.Name}] = o
			out[reference{o.Group(), o.Kind, "", o.Name}] = o // for those that are in no namespace
		}
	}
	return out
}

// maxReferences is how many objects are followed from one to the next: a claim
// names a pool, the pool a template.
const maxReferences = 4

// Workloads returns the pods that the object makes, those of objects that it
// refers to included. For an object that is not of a known kind it returns none,
// and a reason where it looks as if it made pods all the same: that one must be
// reported as not evaluated.
func (s *Scheme) Workloads(o *Object, refs Referred) (workloads []*Workload, reason string, err *Error) {
	o = o.Whole()
	k, ok := s.kinds[[2]string{o.Group(), o.Kind}]
	if !ok {
		if at, found := findTemplate(o.Value, nil, 0); found {
			return nil, fmt.Sprintf("kind %s of %s is not known, and %s looks like a pod template", o.Kind, o.APIVersion, at), nil
		}
		return nil, "", nil
	}
	workloads, missing, err := s.pods(o, k, refs, maxReferences)
	if err != nil {
		return nil, "", err
	}
	shown := k.shown(o)
	if len(workloads) == 0 {
		switch {
		case missing != "":
			reason = fmt.Sprintf("its pods are those of %s, which is not in the input", missing)
		case k.Class == risk.None:
			reason = o.Kind + " has no pod template"
		default:
			reason = "the manifest has no pod: the controller of " + o.Kind + " writes it"
		}
		if k.Class == risk.None {
			return nil, reason, nil
		}
		workloads = []*Workload{{Source: o, Bare: reason, Pod: podObject(map[string]any{}, o.Namespace, map[string]any{})}}
	}
	for _, w := range workloads {
		w.Object, w.Shown = o, shown
	}
	return workloads, "", nil
}

// shown returns what the object shows by its kind and its fields.
func (k *kind) shown(o *Object) []Shown {
	var out []Shown
	if k.Class != risk.None {
		out = append(out, Shown{Path{"kind"}, k.Class, k.Why})
	}
	for i, p := range k.signs {
		for _, at := range p.find(o.Value, Path{}) {
			if v, _ := Lookup(o.Value, at); isSet(v) {
				out = append(out, Shown{at, k.Signs[i].Class, k.Signs[i].Why})
			}
		}
	}
	return out
}

func isSet(v any) bool {
	switch x := v.(type) {
	case bool:
		return x
	case string:
		return x != ""
	case []any:
		return len(x) > 0
	case map[string]any:
		return len(x) > 0
	}
	return true
}

// pods returns the pods that are written in the object, then those of the
// objects that it names. missing is a named one that is not in the input.
func (s *Scheme) pods(o *Object, k *kind, refs Referred, depth int) (workloads []*Workload, missing string, bad *Error) {
	for i := range k.pods {
		p := &k.pods[i]
		for _, at := range p.at.find(o.Value, Path{}) {
			w, err := s.pod(o, p, at)
			if err != nil {
				return nil, "", err
			}
			if w != nil {
				workloads = append(workloads, w)
			}
		}
	}
	resolved := false
	for i, r := range k.References {
		for _, at := range k.references[i].find(o.Value, Path{}) {
			name, _ := Lookup(o.Value, at)
			id := reference{cmp.Or(r.Group, k.Group), r.Kind, "", fmt.Sprint(name)}
			if !r.Cluster {
				id.namespace = cmp.Or(o.Namespace, "default")
			}
			target, found := refs[id]
			named := s.kinds[[2]string{id.group, id.kind}]
			if !found || named == nil || depth == 0 {
				missing = cmp.Or(missing, id.kind+"/"+id.name)
				continue
			}
			more, _, err := s.pods(target, named, refs, depth-1)
			if err != nil {
				continue // it is told of where the target itself is read
			}
			resolved = true
			workloads = append(workloads, more...)
		}
	}
	if resolved {
		missing = ""
	}
	return workloads, missing, nil
}

// pod returns the pod at one place, nil where the place has parts of none.
func (s *Scheme) pod(o *Object, p *pod, at Path) (*Workload, *Error) {
	w := &Workload{Role: p.Role, Source: o, Template: at}
	var spec, meta map[string]any
	var err *Error
	if len(p.spec) == 0 {
		spec, meta, err = s.template(w)
	} else {
		w.Assembled = true
		spec, meta, err = s.assemble(w, p)
	}
	if err != nil || spec == nil {
		return nil, err
	}
	if len(p.args) > 0 {
		spec = withArgs(w, p, spec)
	}
	w.Pod = podObject(meta, o.Namespace, spec)
	return w, nil
}

func podObject(meta map[string]any, namespace string, spec map[string]any) map[string]any {
	return map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": podMeta(meta, namespace), "spec": spec}
}

// template reads a whole template, with metadata and spec.
func (s *Scheme) template(w *Workload) (spec, meta map[string]any, err *Error) {
	o, at := w.Source, w.Template
	v, _ := Lookup(o.Value, at)
	tmpl, ok := v.(map[string]any)
	if !ok {
		return nil, nil, badField(o, at, "see `kubectl explain`", "%s is %s, not a mapping", at, describe(v))
	}
	raw, ok := tmpl["spec"]
	if !ok {
		return nil, nil, badField(o, at, "see `kubectl explain pod.spec`", "%s has no spec", where(o, at))
	}
	if bad := s.types.check(raw, s.types.podSpec, at.Join("spec"), &w.Unknown); bad != nil {
		return nil, nil, bad.in(o)
	}
	spec, _ = raw.(map[string]any)
	meta = map[string]any{}
	if raw, ok = tmpl["metadata"]; ok {
		if bad := s.types.check(raw, s.types.meta, at.Join("metadata"), &w.Unknown); bad != nil {
			return nil, nil, bad.in(o)
		}
		meta, _ = raw.(map[string]any)
	}
	if containers, _ := spec["containers"].([]any); len(containers) == 0 {
		return nil, nil, badField(o, at.Join("spec"), "a pod has at least one container", "%s has no containers", at.Join("spec"))
	}
	return spec, meta, nil
}

func badField(o *Object, at Path, hint, format string, args ...any) *Error {
	pos, _ := o.Position(at)
	return &Error{File: o.File, Line: pos.Line, Column: pos.Column, Reason: fmt.Sprintf(format, args...), Hint: hint}
}

func (m *mismatch) in(o *Object) *Error {
	return badField(o, m.path, "correct its type; the API server refuses it", "%s is %s, not %s", m.path, m.got, m.want)
}
func where(o *Object, at Path) string {
	if len(at) == 0 {
		return o.Kind
	}
	return at.String()
}

// podMeta is the template's metadata with the namespace that the pod will have.
func podMeta(meta map[string]any, namespace string) map[string]any {
	if namespace == "" || meta["namespace"] == namespace {
		return meta
	}
	out := make(map[string]any, len(meta)+1)
	for k, v := range meta {
		out[k] = v
	}
	out["namespace"] = namespace
	return out
}
