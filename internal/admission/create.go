package admission

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/cel-go/common/types"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/bulkhead-dev/bulkhead/policy"
)

// Creation is an object that somebody wants to create.
type Creation struct {
	// Object as JSON is decoded, with whole numbers as int64. It is not changed.
	Object    map[string]any
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

// ErrKind says that an object is no pod and makes none, as far as is known here.
var ErrKind = errors.New("it is no pod, and not known to make any")

// Create judges an object; then, unless it is denied, the pod that its template
// makes. An error says that it cannot be judged.
func (s *Server) Create(c Creation) (Verdict, error) {
	var v Verdict
	r, err := newRequest(c)
	if err != nil {
		return v, err
	}
	if err := s.admit(r, &v); err != nil || len(v.Denied) > 0 || r.resource.Resource == "pods" {
		return v, err
	}
	c.Object = pod(r.object)
	if r, err = newRequest(c); err != nil {
		return v, err
	}
	return v, s.admit(r, &v)
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

// request is a Creation under way.
type request struct {
	object          map[string]any
	namespace       string
	namespaceLabels map[string]string
	resource        schema.GroupVersionResource
	activation      map[string]any
}

func newRequest(c Creation) (*request, error) {
	apiVersion, _ := c.Object["apiVersion"].(string)
	kind, _ := c.Object["kind"].(string)
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return nil, fmt.Errorf("apiVersion: %w", err)
	}
	resource, ok := resources()[schema.GroupKind{Group: gv.Group, Kind: kind}]
	if !ok {
		return nil, ErrKind
	}
	r := &request{object: runtime.DeepCopyJSON(c.Object), namespace: c.Namespace, namespaceLabels: maps.Clone(c.NamespaceLabels), resource: gv.WithResource(resource)}
	if r.namespaceLabels == nil {
		r.namespaceLabels = map[string]string{}
	}
	r.namespaceLabels[policy.NamespaceLabel] = c.Namespace
	metadata, ok := r.object["metadata"].(map[string]any)
	if !ok {
		metadata = map[string]any{}
		r.object["metadata"] = metadata
	}
	metadata["namespace"] = c.Namespace
	metadata["creationTimestamp"] = c.Time.UTC().Format(time.RFC3339)
	if _, ok := r.object["spec"].(map[string]any); !ok {
		r.object["spec"] = map[string]any{}
	}
	name, _ := metadata["name"].(string)
	r.activation = map[string]any{
		"object": r.object, "oldObject": nil,
		"namespaceObject": map[string]any{"metadata": map[string]any{"name": c.Namespace, "labels": r.namespaceLabels}},
		"request": map[string]any{
			"operation": string(admissionv1.Create), "namespace": c.Namespace, "name": name,
			"resource": map[string]any{"group": gv.Group, "version": gv.Version, "resource": resource},
			"userInfo": map[string]any{"username": "somebody", "groups": []string{"system:authenticated"}},
		},
	}
	return r, nil
}

func (r *request) labels() map[string]string {
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
func (s *Server) admit(r *request, v *Verdict) error {
	isPod := r.resource.Resource == "pods"
	if isPod {
		s.mountToken(r)
	}
	for _, c := range s.mutating {
		if err := c.mutate(r); err != nil {
			return fmt.Errorf("policy %s: %w", c.name, err)
		}
	}
	if isPod {
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
func (s *Server) mountToken(r *request) {
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
func (c *compiled) applies(r *request) (bool, error) {
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

func (c *compiled) mutate(r *request) error {
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
func (c *compiled) judge(r *request) ([]string, error) {
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
