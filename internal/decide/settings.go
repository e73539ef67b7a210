package decide

import (
	"fmt"
	"maps"
	"slices"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// What is taken from other objects is bounded a pod, well below what makes a pod
// oversized for rules: its own variables come on top.
const (
	maxSettings      = 500
	maxSettingNames  = 16 << 10 // bytes
	maxSettingValues = 32 << 10 // bytes
	maxSetting       = 256      // bytes of one value; longer ones are left out
)

// setting is where a variable that envFrom takes from another object stands.
type setting struct {
	from *manifest.Object
	at   manifest.Path
}

// settings are the variables of a pod that stand in other objects, by the place
// that they have in the pod.
type settings map[string]setting

func settingAt(list string, container, variable int) string {
	return fmt.Sprintf("%s/%d/%d", list, container, variable)
}

// of returns where the field at a path of the pod stands, if not in the pod.
func (s settings) of(path manifest.Path) (setting, bool) {
	if len(path) < 5 || path[3] != "env" {
		return setting{}, false
	}
	list, _ := path[1].(string)
	container, _ := path[2].(int)
	variable, _ := path[4].(int)
	found, ok := s[settingAt(list, container, variable)]
	return found, ok
}

// settled returns the pod as its containers find it: what envFrom takes from
// ConfigMaps and Secrets of the input stands behind their own variables, of
// Secrets the names alone. A pod without such is returned as it is.
func (ix *index) settled(w *manifest.Workload) (map[string]any, settings) {
	spec, _ := w.Pod["spec"].(map[string]any)
	from := settings{}
	changed := map[string]any{}
	names, values := maxSettingNames, maxSettingValues
	eachContainer(spec, func(list string, i int, c map[string]any) {
		own, _ := c["env"].([]any)
		env := slices.Clone(own)
		for _, v := range ix.envFrom(c, w.Namespace) {
			if names -= len(v.name); len(from) >= maxSettings || names < 0 {
				break
			}
			variable := map[string]any{"name": v.name}
			if len(v.value) <= min(maxSetting, values) {
				variable["value"] = v.value
				values -= len(v.value)
			}
			from[settingAt(list, i, len(env))] = v.setting
			env = append(env, variable)
		}
		if len(env) == len(own) {
			return
		}
		containers, ok := changed[list].([]any)
		if !ok {
			containers = slices.Clone(spec[list].([]any))
		}
		c = maps.Clone(c)
		c["env"] = env
		containers[i] = c
		changed[list] = containers
	})
	if len(from) == 0 {
		return w.Pod, nil
	}
	spec = maps.Clone(spec)
	maps.Copy(spec, changed)
	pod := maps.Clone(w.Pod)
	pod["spec"] = spec
	return pod, from
}

// taken is a variable that envFrom makes, and where it stands.
type taken struct {
	name, value string
	setting
}

// envFrom returns the variables that a container's envFrom makes, by name within
// each object. Of several objects of one name (a folder of overlays) all count:
// which of them a cluster has cannot be told.
func (ix *index) envFrom(c map[string]any, ns string) []taken {
	sources, _ := c["envFrom"].([]any)
	var out []taken
	for _, s := range sources {
		source, _ := s.(map[string]any)
		for _, kind := range []string{"ConfigMap", "Secret"} {
			ref, _ := source[map[string]string{"ConfigMap": "configMapRef", "Secret": "secretRef"}[kind]].(map[string]any)
			for _, o := range ix.settings[settingsKey{kind, key{namespaceOf(ns), str(ref["name"])}}] {
				out = append(out, variables(o, str(source["prefix"]))...)
			}
		}
	}
	return out
}

// variables returns what envFrom makes of a ConfigMap or a Secret, of a Secret
// the names alone.
func variables(o *manifest.Object, prefix string) []taken {
	var out []taken
	for _, field := range []string{"data", "stringData"} {
		data, _ := o.Value[field].(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(data)) {
			v := taken{name: prefix + name, setting: setting{o, manifest.Path{field, name}}}
			if o.Kind == "ConfigMap" {
				v.value = str(data[name])
			}
			out = append(out, v)
		}
	}
	return out
}

// settingsKey names a ConfigMap or a Secret.
type settingsKey struct {
	kind string
	key
}
