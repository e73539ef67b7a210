package harden

import (
	"maps"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// Tree returns values as a chart takes them.
func Tree(values []Value) map[string]any {
	var root any
	for _, v := range values {
		root = planted(root, v.Path, v.Value)
	}
	m, _ := root.(map[string]any)
	return m
}

func planted(root any, path manifest.Path, value any) any {
	if len(path) == 0 {
		return value
	}
	m, _ := root.(map[string]any)
	if m = maps.Clone(m); m == nil {
		m = map[string]any{}
	}
	key, _ := path[0].(string)
	m[key] = planted(m[key], path[1:], value)
	return m
}

// ValuesFile writes values as a file for a chart, each with what it reaches.
func ValuesFile(said []string, values []Value) ([]byte, error) {
	root := &yaml.Node{}
	if err := root.Encode(Tree(values)); err != nil {
		return nil, err
	}
	for _, v := range values {
		node, key := root, root
		for _, seg := range v.Path {
			for i := 0; i+1 < len(node.Content); i += 2 {
				if node.Content[i].Value == seg {
					key, node = node.Content[i], node.Content[i+1]
					break
				}
			}
		}
		for _, r := range v.Reaches {
			key.HeadComment = strings.TrimSpace(key.HeadComment + "\n" + printable.Text(r))
		}
	}
	body, err := encode(root)
	if err != nil {
		return nil, err
	}
	var head strings.Builder
	for _, line := range said {
		head.WriteString("# " + printable.Text(line) + "\n")
	}
	return Mark(append([]byte(head.String()), body...)), nil
}
