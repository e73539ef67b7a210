package podspec

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// loopback is the only address that a sandbox without a network device has.
const loopback = "127.0.0.1"

// environment is a container's variables.
type environment struct {
	values map[string]string
}

// list returns K=V in the order of names.
func (e environment) list() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(e.values)) {
		out = append(out, name+"="+e.values[name])
	}
	return out
}

// environment resolves a container's variables as the kubelet does: envFrom in
// its order, then env, where a value may use those before it.
func (r *reader) environment(c corev1.Container) (environment, error) {
	env := environment{values: map[string]string{}}
	for _, from := range c.EnvFrom {
		if err := r.envFrom(c, from, env); err != nil {
			return env, err
		}
	}
	for _, e := range c.Env {
		if e.Name == "" || strings.ContainsAny(e.Name, "=\x00") || strings.Contains(e.Value, "\x00") {
			return env, r.unsupported("a name has no = in it", "container %q: %q is no name of a variable", c.Name, e.Name)
		}
		if e.ValueFrom == nil || e.Value != "" {
			env.values[e.Name] = expand(e.Value, env.values)
			continue
		}
		value, found, err := r.valueFrom(c, e)
		if err != nil {
			return env, err
		}
		if found {
			env.values[e.Name] = value
		}
	}
	return env, nil
}

func (r *reader) envFrom(c corev1.Container, from corev1.EnvFromSource, env environment) error {
	var found bundle
	var err error
	switch {
	case from.ConfigMapRef != nil:
		found, err = r.bundle(configMap, from.ConfigMapRef.Name, from.ConfigMapRef.Optional, "envFrom of container "+strconv.Quote(c.Name))
	case from.SecretRef != nil:
		found, err = r.bundle(secret, from.SecretRef.Name, from.SecretRef.Optional, "envFrom of container "+strconv.Quote(c.Name))
		r.secretFor(c, from.SecretRef.Name, found)
	default:
		return r.unsupported("name a configMapRef or a secretRef", "envFrom of container %q names nothing", c.Name)
	}
	if err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(found)) {
		name := from.Prefix + key
		if msgs := validation.IsEnvVarName(name); len(msgs) > 0 {
			r.note("container %s: key %q is no name of a variable and is left out, as the kubelet does", c.Name, key)
			continue
		}
		if err := r.textual(c, name, found[key]); err != nil {
			return err
		}
		env.values[name] = string(found[key])
	}
	return nil
}

func (r *reader) textual(c corev1.Container, name string, value []byte) error {
	if slices.Contains(value, 0) {
		return r.unsupported("mount it as a file", "container %q: variable %q would hold a zero byte", c.Name, name)
	}
	return nil
}

func (r *reader) secretFor(c corev1.Container, name string, found bundle) {
	if found != nil && !slices.Contains(r.secrets[c.Name], name) {
		r.secrets[c.Name] = append(r.secrets[c.Name], name)
	}
}

// valueFrom resolves one variable; found is false where an optional source is
// not there.
func (r *reader) valueFrom(c corev1.Container, e corev1.EnvVar) (value string, found bool, err error) {
	from, where := e.ValueFrom, fmt.Sprintf("variable %q of container %q", e.Name, c.Name)
	switch {
	case from.ConfigMapKeyRef != nil:
		ref := from.ConfigMapKeyRef
		return r.key(c, configMap, ref.Name, ref.Key, ref.Optional, where)
	case from.SecretKeyRef != nil:
		ref := from.SecretKeyRef
		return r.key(c, secret, ref.Name, ref.Key, ref.Optional, where)
	case from.FieldRef != nil:
		value, err = r.field(from.FieldRef.FieldPath, where)
		return value, true, err
	case from.ResourceFieldRef != nil:
		value, err = r.resource(c, from.ResourceFieldRef, where)
		return value, true, err
	}
	return "", false, r.unsupported("set it to a value", "%s has a source that is not known here", where)
}

func (r *reader) key(c corev1.Container, kind bundleKind, name, key string, optional *bool, where string) (string, bool, error) {
	b, err := r.bundle(kind, name, optional, where)
	if err != nil || b == nil {
		return "", false, err
	}
	if kind == secret {
		r.secretFor(c, name, b)
	}
	value, ok := b[key]
	if !ok {
		if optional != nil && *optional {
			return "", false, nil
		}
		return "", false, r.unsupported("add it, or mark the reference optional", "%s: %s %q has no key %q", where, kind, name, key)
	}
	return string(value), true, r.textual(c, where, value)
}

// field resolves what of a pod is known before it runs.
func (r *reader) field(path, where string) (string, error) {
	if key, ok := subscript(path, "metadata.labels"); ok {
		return r.pod.Labels[key], nil
	}
	if key, ok := subscript(path, "metadata.annotations"); ok {
		return r.pod.Annotations[key], nil
	}
	switch path {
	case "metadata.name":
		return r.pod.Name, nil
	case "metadata.namespace":
		return namespaceOf(r.pod.Namespace), nil
	case "spec.serviceAccountName":
		if r.pod.Spec.ServiceAccountName == "" {
			return "default", nil
		}
		return r.pod.Spec.ServiceAccountName, nil
	case "status.podIP", "status.podIPs":
		return loopback, nil
	}
	return "", r.unsupported("set it to a value", "%s: %s is known on a cluster only", where, strconv.Quote(path))
}

// subscript reads the key out of prefix['key'].
func subscript(path, prefix string) (string, bool) {
	rest, ok := strings.CutPrefix(path, prefix+"['")
	key, closed := strings.CutSuffix(rest, "']")
	return key, ok && closed
}

// resource resolves a container's own request or limit.
func (r *reader) resource(c corev1.Container, ref *corev1.ResourceFieldSelector, where string) (string, error) {
	if ref.ContainerName != "" && ref.ContainerName != c.Name {
		other := slices.IndexFunc(r.sources(), func(s source) bool { return s.Name == ref.ContainerName })
		if other < 0 {
			return "", r.unsupported("name a container of the pod", "%s: there is no container %q", where, ref.ContainerName)
		}
		c = r.sources()[other].Container
	}
	list := c.Resources.Limits
	name, isLimit := strings.CutPrefix(ref.Resource, "limits.")
	if !isLimit {
		list = c.Resources.Requests
		name = strings.TrimPrefix(ref.Resource, "requests.")
	}
	q, ok := list[corev1.ResourceName(name)]
	if !ok {
		return "", r.unsupported("set it in the container's resources", "%s: container %q sets no %s", where, c.Name, ref.Resource)
	}
	divisor := ref.Divisor
	if divisor.IsZero() {
		divisor = resource.MustParse("1")
	}
	// As the kubelet: rounded up to a whole number of divisors.
	if name == string(corev1.ResourceCPU) {
		return strconv.FormatInt(int64(math.Ceil(float64(q.MilliValue())/float64(divisor.MilliValue()))), 10), nil
	}
	if divisor.Value() <= 0 {
		return "", r.unsupported("choose a divisor of at least 1", "%s: its divisor is no whole number", where)
	}
	return strconv.FormatInt(int64(math.Ceil(float64(q.Value())/float64(divisor.Value()))), 10), nil
}
