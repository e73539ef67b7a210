package harden

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// flatten returns every leaf of objects by its place, as JSON. Entries of lists are
// named by what they are called, so that another place is no change.
func flatten(objects []*manifest.Object) map[string]string {
	out := map[string]string{}
	for _, o := range objects {
		leaves(out, label(o)+"\x00", o.Whole().Value)
	}
	return out
}

// label is what people call an object.
func label(o *manifest.Object) string {
	name := o.Kind + " " + o.Name
	if o.Namespace != "" {
		name += " (" + o.Namespace + ")"
	}
	return name
}

func leaves(out map[string]string, at string, v any) {
	switch x := v.(type) {
	case map[string]any:
		if len(x) == 0 {
			out[at+"{}"] = "{}"
		}
		for key, item := range x {
			leaves(out, at+"."+key, item)
		}
		return
	case []any:
		if len(x) > 0 && entries(x) {
			for i, item := range x {
				leaves(out, at+"["+called(i, item)+"]", item)
			}
			return
		}
	}
	text, err := json.Marshal(v)
	if err != nil {
		text = []byte(fmt.Sprint(v))
	}
	out[at] = string(text)
}

func called(i int, entry any) string {
	m, _ := entry.(map[string]any)
	for _, key := range []string{"mountPath", "name"} {
		if name, ok := m[key].(string); ok {
			return name
		}
	}
	return fmt.Sprint(i)
}

// between returns the leaves that are new or others, and with "" those that are
// gone. An empty mapping that gets fields is not gone.
func between(before, after map[string]string) map[string]string {
	out := map[string]string{}
	for key, value := range after {
		if before[key] != value {
			out[key] = value
		}
	}
	for key := range before {
		if _, there := after[key]; !there && !strings.HasSuffix(key, "{}") {
			out[key] = ""
		}
	}
	return out
}
