package admission

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/google/cel-go/common/types/ref"
	"google.golang.org/protobuf/types/known/structpb"
)

// operation is one of a JSON patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// operations are those of a list of patchType.
func operations(list ref.Val) ([]operation, error) {
	native, err := list.ConvertToNative(reflect.TypeFor[*structpb.Value]())
	if err != nil {
		return nil, err
	}
	text, err := native.(*structpb.Value).MarshalJSON()
	if err != nil {
		return nil, err
	}
	var out []operation
	return out, json.Unmarshal(text, &out)
}

// apply changes an object. Policies add fields of objects and do nothing else.
func apply(object map[string]any, ops []operation) error {
	for _, o := range ops {
		at := strings.Split(o.Path, "/")
		if o.Op != "add" || len(at) < 2 || at[0] != "" {
			return fmt.Errorf("operation %q at %q is not known", o.Op, o.Path)
		}
		for i := range at {
			at[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(at[i])
		}
		parent := object
		for _, field := range at[1 : len(at)-1] {
			next, ok := parent[field].(map[string]any)
			if !ok {
				return fmt.Errorf("there is no object %q to add %s to", field, o.Path)
			}
			parent = next
		}
		parent[at[len(at)-1]] = o.Value
	}
	return nil
}
