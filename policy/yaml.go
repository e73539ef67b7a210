package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// YAML writes objects as a stream of documents that kubectl applies, without
// what only a server sets. The same objects give the same bytes.
func YAML(objects []Object) ([]byte, error) {
	var out bytes.Buffer
	for _, o := range objects {
		text, err := json.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", o.GetName(), err)
		}
		var value map[string]any
		if err := json.Unmarshal(text, &value); err != nil {
			return nil, fmt.Errorf("writing %s: %w", o.GetName(), err)
		}
		delete(value, "status")
		if text, err = Document(value, nil); err != nil {
			return nil, fmt.Errorf("writing %s: %w", o.GetName(), err)
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	return out.Bytes(), nil
}
