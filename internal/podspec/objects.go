package podspec

import (
	"cmp"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// bundleKind is a kind of object that holds keys and values.
type bundleKind string

const (
	configMap bundleKind = "ConfigMap"
	secret    bundleKind = "Secret"
)

// bundle is the content of a ConfigMap or Secret.
type bundle map[string][]byte

type bundleID struct {
	kind            bundleKind
	namespace, name string
}

// Objects are the ConfigMaps and Secrets that a pod may refer to.
type Objects map[bundleID]bundle

// ReadObjects picks the ConfigMaps and Secrets out of a manifest.
func ReadObjects(objects []*manifest.Object) (Objects, error) {
	out := Objects{}
	for _, o := range objects {
		id := bundleID{bundleKind(o.Kind), namespaceOf(o.Namespace), o.Name}
		if o.APIVersion != "v1" || id.kind != configMap && id.kind != secret {
			continue
		}
		if _, twice := out[id]; twice {
			return nil, fmt.Errorf("%s: there are two of %s %q", o.File, id.kind, o.Name)
		}
		b, err := read(o.Whole(), id.kind)
		if err != nil {
			// The reason may quote a value, which is a secret's.
			return nil, fmt.Errorf("%s: %s %q is malformed: data has base64, stringData text", o.File, id.kind, o.Name)
		}
		out[id] = b
	}
	return out, nil
}

func read(o *manifest.Object, kind bundleKind) (bundle, error) {
	b := bundle{}
	if kind == secret {
		var s corev1.Secret
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Value, &s); err != nil {
			return nil, err
		}
		for k, v := range s.Data {
			b[k] = v
		}
		for k, v := range s.StringData {
			b[k] = []byte(v)
		}
		return b, nil
	}
	var c corev1.ConfigMap
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Value, &c); err != nil {
		return nil, err
	}
	for k, v := range c.Data {
		b[k] = []byte(v)
	}
	for k, v := range c.BinaryData {
		b[k] = v
	}
	return b, nil
}

// bundle finds what a pod refers to; nil where it is optional and not there.
func (r *reader) bundle(kind bundleKind, name string, optional *bool, where string) (bundle, error) {
	b, ok := r.objects[bundleID{kind, namespaceOf(r.pod.Namespace), name}]
	if !ok && (optional == nil || !*optional) {
		return nil, r.unsupported("put it into the same file, or mark the reference optional", "%s: there is no %s %q in namespace %q of the manifest", where, kind, name, namespaceOf(r.pod.Namespace))
	}
	return b, nil
}

// namespaceOf returns the namespace that an object lands in where it names none.
func namespaceOf(ns string) string { return cmp.Or(ns, "default") }
