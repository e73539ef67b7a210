package admission

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/google/cel-go/common/types"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// Request is what somebody asks for: that an object is created, or changed.
type Request struct {
	// Object as JSON is decoded, with whole numbers as int64. It is not changed.
	Object map[string]any
	// Old is the object as it is stored, where it is changed; else nil.
	Old       map[string]any
	Namespace string
	// NamespaceLabels are those of the namespace, beside its name.
	NamespaceLabels map[string]string
	// Time is when, for what expires.
	Time time.Time
}

// Verdict is what became of an object. What is denied may be warned about too.
type Verdict struct {
	Denied, Warned, Audited []string
	// RuntimeClass is that of the pod, or of the pods that the object makes; ""
	// is the node's default. It says nothing where they are denied.
	RuntimeClass string
}

// ErrKind says that an object is no NetworkPolicy, no pod and makes none, as far as
// is known here.
var ErrKind = errors.New("it is no pod, not known to make any, and no NetworkPolicy")

// Admit judges an object; then, unless it is denied, the pod that its template
// makes. An error says that it cannot be judged.
func (s *Server) Admit(r Request) (Verdict, error) {
	var v Verdict
	at, err := newReview(r)
	if err != nil {
		return v, err
	}
	if err := s.admit(at, &v); err != nil || len(v.Denied) > 0 || at.isPod() || at.resource.Resource == networkPolicies {
		return v, err
	}
	r.Object, r.Old = pod(at.object), nil
	if at, err = newReview(r); err != nil {
		return v, err
	}
	return v, s.admit(at, &v)
}

// pod is what a template of pods makes.
func pod(object map[string]any) map[string]any {
	spec, _ := object["spec"].(map[string]any)
	if job, ok := spec["jobTemplate"].(map[string]any); ok {
		spec, _ = job["spec"].(map[string]any)
	}
	template, ok := spec["podTemplate"].(map[string]any)
	if !ok {
		template, _ = spec["template"].(map[string]any)
	}
	out := map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]}
	return out
}

// review is a Request under way.
type review struct {
	object          map[string]any
	namespace       string
	namespaceLabels map[string]string
	operation       admissionv1.OperationType
	resource        schema.GroupVersionResource
	subresource     string
	activation      map[string]any
}

func newReview(in Request) (*review, error) {
	apiVersion, _ := in.Object["apiVersion"].(string)
	kind, _ := in.Object["kind"].(string)
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil, fmt.Errorf("apiVersion: %w", err)
	}
	resource, ok := resources()[schema.GroupKind{Group: gv.Group, Kind: kind}]
	if !ok {
		return nil, ErrKind
	}
	r := &review{object: in.stored(in.Object), namespace: in.Namespace, namespaceLabels: maps.Clone(in.NamespaceLabels), operation: admissionv1.Create, resource: gv.WithResource(resource)}
	if r.namespaceLabels == nil {
		r.namespaceLabels = map[string]string{}
	}
	r.namespaceLabels[policy.NamespaceLabel] = in.Namespace
	var old any
	if in.Old != nil {
		if in.Old["apiVersion"] != apiVersion || in.Old["kind"] != kind {
			return nil, fmt.Errorf("a %v of %v does not become a %s of %s", in.Old["kind"], in.Old["apiVersion"], kind, apiVersion)
		}
		before := in.stored(in.Old)
		old, r.operation = before, admissionv1.Update
		if r.isPod() && !reflect.DeepEqual(ephemeral(before), ephemeral(r.object)) {
			r.subresource = ephemeralContainers
		}
	}
	name, _ := r.object["metadata"].(map[string]any)["name"].(string)
	r.activation = map[string]any{
		"object": r.object, "oldObject": old,
		"namespaceObject": map[string]any{"metadata": map[string]any{"name": in.Namespace, "labels": r.namespaceLabels}},
		"request": map[string]any{
			"operation": string(r.operation), "namespace": in.Namespace, "name": name,
			"resource": map[string]any{"group": gv.Group, "version": gv.Version, "resource": resource}, "subResource": r.subresource,
			"userInfo": map[string]any{"username": "somebody", "groups": []string{"system:authenticated"}},
		},
	}
	return r, nil
}

// ephemeralContainers are added to a pod by a request of their own.
const ephemeralContainers = "ephemeralcontainers"

func ephemeral(pod map[string]any) any {
	spec, _ := pod["spec"].(map[string]any)
	return spec["ephemeralContainers"]
}

// stored is a copy of an object with what the API server sets in each.
func (in Request) stored(object map[string]any) map[string]any {
	out := runtime.DeepCopyJSON(object)
	metadata, ok := out["metadata"].(map[string]any)
	if !ok {
		metadata = map[string]any{}
		out["metadata"] = metadata
	}
	metadata["namespace"] = in.Namespace
	metadata["creationTimestamp"] = in.Time.UTC().Format(time.RFC3339)
	if _, ok := out["spec"].(map[string]any); !ok {
		out["spec"] = map[string]any{}
	}
	return out
}

func (r *review) isPod() bool { return r.resource.Resource == "pods" }

func (r *review) labels() map[string]string {
	out := map[string]string{}
	metadata, _ := r.object["metadata"].(map[string]any)
	values, _ := metadata["labels"].(map[string]any)
	for name, value := range values {
		out[name], _ = value.(string)
	}
	return out
}

// admit is the way of an object through admission: ServiceAccount, then what
// changes it, then what judges it.
func (s *Server) admit(r *review, v *Verdict) error {
	if r.isPod() && r.operation == admissionv1.Create {
		s.mountToken(r)
	}
	for _, c := range s.mutating {
		if err := c.mutate(r); err != nil {
			return fmt.Errorf("policy %s: %w", c.name, err)
		}
	}
	if r.isPod() {
		spec, _ := r.object["spec"].(map[string]any)
		v.RuntimeClass, _ = spec["runtimeClassName"].(string)
	}
	for _, c := range s.validating {
		messages, err := c.judge(r)
		if err != nil {
			return fmt.Errorf("policy %s: %w", c.name, err)
		}
		for _, action := range c.actions {
			switch action {
			case admissionv1.Deny:
				v.Denied = append(v.Denied, messages...)
			case admissionv1.Warn:
				v.Warned = append(v.Warned, messages...)
			case admissionv1.Audit:
				v.Audited = append(v.Audited, messages...)
			}
		}
	}
	return nil
}

// mountToken does what the API server does to a pod whose ServiceAccount does
// not say otherwise.
func (s *Server) mountToken(r *review) {
	spec, _ := r.object["spec"].(map[string]any)
	account, _ := spec["serviceAccountName"].(string)
	if account == "" {
		account = "default"
		spec["serviceAccountName"] = account
	}
	if mount, ok := spec["automountServiceAccountToken"].(bool); ok && !mount || !ok && s.tokenless[r.namespace+"/"+account] {
		return
	}
	volumes, _ := spec["volumes"].([]any)
	spec["volumes"] = append(slices.Clip(volumes), map[string]any{
		"name":      "kube-api-access",
		"projected": map[string]any{"sources": []any{map[string]any{"serviceAccountToken": map[string]any{"path": "token", "expirationSeconds": int64(3607)}}}},
	})
}

// applies reports whether a policy is about a request, by its selectors and
// conditions. A policy that goes by an object of a cluster is an error.
func (c *compiled) applies(r *review) (bool, error) {
	ok, err := c.matches(r)
	if err != nil || !ok {
		return false, err
	}
	if c.parameter != "" {
		return false, fmt.Errorf("it goes by a %s of the cluster, which is not here", c.parameter)
	}
	activation := c.expressions.bind(r.activation)
	for _, prg := range c.conditions {
		out, _, err := prg.Eval(activation)
		if err != nil {
			return false, fmt.Errorf("condition: %w", err)
		}
		if out != types.True {
			return false, nil
		}
	}
	return true, nil
}

func (c *compiled) mutate(r *review) error {
	ok, err := c.applies(r)
	if err != nil || !ok {
		return err
	}
	for _, prg := range c.checks {
		out, _, err := prg.Eval(c.expressions.bind(r.activation))
		if err != nil {
			return err
		}
		ops, err := operations(out)
		if err != nil {
			return fmt.Errorf("its patch: %w", err)
		}
		if err := apply(r.object, ops); err != nil {
			return fmt.Errorf("its patch: %w", err)
		}
	}
	return nil
}

// judge returns what a policy says against a request. What cannot be evaluated
// is against it, as the failure policy is Fail.
func (c *compiled) judge(r *review) ([]string, error) {
	ok, err := c.applies(r)
	if err != nil || !ok {
		return nil, err
	}
	activation := c.expressions.bind(r.activation)
	var out []string
	for i, prg := range c.checks {
		result, _, err := prg.Eval(activation)
		switch {
		case err != nil:
			out = append(out, "expression failed: "+err.Error())
		case result != types.True:
			out = append(out, c.message(i, activation))
		}
	}
	return out, nil
}

func (c *compiled) message(i int, activation map[string]any) string {
	if c.messages[i] != nil {
		if out, _, err := c.messages[i].Eval(activation); err == nil {
			if text, ok := out.Value().(string); ok {
				return text
			}
		}
	}
	if c.texts[i] != "" {
		return c.texts[i]
	}
	return "a validation failed"
}
