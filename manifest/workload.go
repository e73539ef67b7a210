package manifest

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Workload is one pod template of an object that makes pods.
type Workload struct {
	*Object
	Role string // which of several templates; "" where there is one
	// Template is where the template sits in the object; empty for a Pod.
	Template Path
	// Pod is the pod that the template makes, as admission would see it:
	// apiVersion, kind, metadata (with the object's namespace) and spec.
	// It is read-only.
	Pod map[string]any
	// Unknown are fields of the pod that the API server does not know and drops
	// with a warning: mostly typos, and a typo in a security field is a hole.
	Unknown []Path
}

// ObjectPath turns a path in the pod into the path in the object.
func (w *Workload) ObjectPath(pod Path) Path { return w.Template.Join(pod...) }

// TypedPod decodes the pod into the API type.
func (w *Workload) TypedPod() (*corev1.Pod, error) {
	var pod corev1.Pod
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(w.Pod, &pod); err != nil {
		return nil, fmt.Errorf("decoding the pod of %s/%s: %w", w.Kind, w.Name, err)
	}
	return &pod, nil
}

// Workloads returns the pods that the object makes. For an object that is not
// of a known kind it returns none, and a reason where it looks as if it made
// pods all the same: that one must be reported as not evaluated.
func (s *Scheme) Workloads(o *Object) (workloads []*Workload, reason string, err *Error) {
	kind, ok := s.kinds[[2]string{o.Group(), o.Kind}]
	if !ok {
		if at, found := findTemplate(o.Value, nil, 0); found {
			return nil, fmt.Sprintf("kind %s of %s is not known, and %s looks like a pod template", o.Kind, o.APIVersion, at), nil
		}
		return nil, "", nil
	}
	for _, t := range kind.Templates {
		for _, path := range expand(o.Value, t.Path) {
			w, err := s.workload(o, t.Role, path)
			if err != nil {
				return workloads, "", err
			}
			workloads = append(workloads, w)
		}
	}
	if len(workloads) == 0 {
		return nil, fmt.Sprintf("%s has no pod template", o.Kind), nil
	}
	return workloads, "", nil
}

// expand returns the existing places that a template path names.
func expand(root any, path string) []Path {
	path, list := strings.CutSuffix(path, "[*]")
	p, err := ParsePath(path)
	if err != nil {
		return nil
	}
	v, ok := Lookup(root, p)
	if !ok {
		return nil
	}
	if !list {
		return []Path{p}
	}
	items, _ := v.([]any)
	var out []Path
	for i := range items {
		out = append(out, p.Join(i))
	}
	return out
}

func (s *Scheme) workload(o *Object, role string, at Path) (*Workload, *Error) {
	fail := func(path Path, hint, format string, args ...any) *Error {
		pos, _ := o.Position(path)
		return &Error{File: o.File, Line: pos.Line, Column: pos.Column, Reason: fmt.Sprintf(format, args...), Hint: hint}
	}
	v, _ := Lookup(o.Value, at)
	tmpl, ok := v.(map[string]any)
	if !ok {
		return nil, fail(at, "see `kubectl explain`", "%s is %s, not a mapping", at, describe(v))
	}
	w := &Workload{Object: o, Role: role, Template: at}
	spec, ok := tmpl["spec"]
	if !ok {
		return nil, fail(at, "see `kubectl explain pod.spec`", "%s has no spec", where(o, at))
	}
	if bad := s.types.check(spec, s.types.podSpec, at.Join("spec"), &w.Unknown); bad != nil {
		return nil, fail(bad.path, "correct its type; the API server refuses it", "%s is %s, not %s", bad.path, bad.got, bad.want)
	}
	meta, ok := tmpl["metadata"]
	if !ok {
		meta = map[string]any{}
	}
	if bad := s.types.check(meta, s.types.meta, at.Join("metadata"), &w.Unknown); bad != nil {
		return nil, fail(bad.path, "correct its type; the API server refuses it", "%s is %s, not %s", bad.path, bad.got, bad.want)
	}
	if containers, _ := Lookup(spec, Path{"containers"}); containers == nil || len(containers.([]any)) == 0 {
		return nil, fail(at.Join("spec"), "a pod has at least one container", "%s has no containers", at.Join("spec"))
	}
	w.Pod = map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": podMeta(meta.(map[string]any), o.Namespace), "spec": spec}
	return w, nil
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

// maxTemplateDepth is how deep findTemplate looks.
const maxTemplateDepth = 12

// findTemplate looks for something that makes containers: a list `containers`
// of mappings, each with a name or an image.
func findTemplate(v any, at Path, depth int) (Path, bool) {
	if depth > maxTemplateDepth {
		return nil, false
	}
	switch t := v.(type) {
	case map[string]any:
		if list, ok := t["containers"].([]any); ok && looksLikeContainers(list) {
			return at, true
		}
		for _, k := range sortedKeys(t) {
			if k == "openAPIV3Schema" { // a CRD describes pods, it makes none
				continue
			}
			if p, ok := findTemplate(t[k], at.Join(k), depth+1); ok {
				return p, true
			}
		}
	case []any:
		for i, item := range t {
			if p, ok := findTemplate(item, at.Join(i), depth+1); ok {
				return p, true
			}
		}
	}
	return nil, false
}

func looksLikeContainers(list []any) bool {
	for _, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return false
		}
		_, name := m["name"].(string)
		_, image := m["image"].(string)
		if !name && !image {
			return false
		}
	}
	return len(list) > 0
}
