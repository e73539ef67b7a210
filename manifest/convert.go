package manifest

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// converter turns YAML nodes into the values that the API server would see,
// within bounds: a file is input from anywhere.
type converter struct {
	limits  Limits
	names   *names
	aliased int                 // nodes made through aliases so far
	open    map[*yaml.Node]bool // anchors that are being expanded
	outer   *yaml.Node          // the outermost alias being expanded, nil outside of one
}

// badNode is a conversion error at a node; the reader adds the file.
type badNode struct {
	node   *yaml.Node
	reason string
	hint   string
}

func (b *badNode) Error() string { return b.reason }

func bad(n *yaml.Node, hint, format string, args ...any) error {
	return &badNode{n, fmt.Sprintf(format, args...), hint}
}

const tooDeep = "flatten the document; no Kubernetes object is nested this deep"

func (c *converter) value(n *yaml.Node, depth int) (any, error) {
	if depth > c.limits.Depth {
		return nil, bad(n, tooDeep, "nested deeper than %d levels", c.limits.Depth)
	}
	if c.outer != nil {
		if c.aliased++; c.aliased > c.limits.AliasedNodes {
			return nil, bad(c.outer, "write the repeated parts out, or split the document",
				"aliases of anchor %q expand to more than %d values", c.outer.Value, c.limits.AliasedNodes)
		}
	}
	switch n.Kind {
	case yaml.AliasNode:
		return c.alias(n, depth)
	case yaml.MappingNode:
		return c.mapping(n, depth)
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, child := range n.Content {
			v, err := c.value(child, depth+1)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	case yaml.ScalarNode:
		v, err := scalar(n)
		if s, ok := v.(string); ok {
			return c.names.one(s), err
		}
		return v, err
	}
	return nil, bad(n, "", "unexpected YAML node")
}

func (c *converter) alias(n *yaml.Node, depth int) (any, error) {
	if c.open[n.Alias] {
		return nil, bad(n, "remove the reference to itself", "anchor %q contains itself", n.Value)
	}
	outer := c.outer
	if outer == nil {
		c.outer = n
	}
	c.open[n.Alias] = true
	v, err := c.value(n.Alias, depth+1)
	delete(c.open, n.Alias)
	c.outer = outer
	return v, err
}

func (c *converter) mapping(n *yaml.Node, depth int) (any, error) {
	m := make(map[string]any, len(n.Content)/2)
	seen := make(map[string]*yaml.Node, len(n.Content)/2)
	var merge *yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if isMerge(key) {
			if merge != nil {
				return nil, bad(key, "merge a list of mappings instead: <<: [*a, *b]", "duplicate merge key <<")
			}
			merge = val
			continue
		}
		key = deref(key)
		if key.Kind != yaml.ScalarNode {
			return nil, bad(key, "Kubernetes objects have only strings as keys", "key of a mapping is not a string")
		}
		name := c.names.one(keyName(key))
		if first, ok := seen[name]; ok {
			return nil, bad(n.Content[i], "keep one of them: which one counts depends on who reads the file",
				"duplicate key %q, first on line %d", name, first.Line)
		}
		seen[name] = key
		v, err := c.value(val, depth+1)
		if err != nil {
			return nil, err
		}
		if v != nil {
			m[name] = v
		}
	}
	if merge == nil {
		return m, nil
	}
	return m, c.merge(m, seen, merge, depth)
}

// merge adds what the merge key brings to m; keys that are written out win,
// and of several merged mappings the first.
func (c *converter) merge(m map[string]any, seen map[string]*yaml.Node, n *yaml.Node, depth int) error {
	v, err := c.value(n, depth+1)
	if err != nil {
		return err
	}
	maps, ok := v.([]any)
	if !ok {
		maps = []any{v}
	}
	for _, item := range maps {
		from, ok := item.(map[string]any)
		if !ok {
			return bad(n, "", "merge key << does not name a mapping")
		}
		for k, v := range from {
			if _, explicit := seen[k]; explicit {
				continue
			}
			if _, merged := m[k]; !merged {
				m[k] = v
			}
		}
	}
	return nil
}

// scalar resolves a scalar as kubectl and the API server do, that is by YAML
// 1.1: a plain `yes` or `on` is a boolean.
func scalar(n *yaml.Node) (any, error) {
	tag := n.ShortTag()
	if n.Style == 0 && tag == "!!str" {
		if b, ok := bool11(n.Value); ok {
			return b, nil
		}
	}
	if n.Style == 0 && tag == "!!int" && signedOctal(n.Value) {
		return n.Value, nil
	}
	switch tag {
	case "!!str", "!!timestamp", "!!merge":
		return n.Value, nil
	case "!!binary": // kubectl decodes it, so it must not hide a command here
		var text string
		if err := n.Decode(&text); err != nil || !utf8.ValidString(text) {
			return nil, bad(n, "write it as plain text", "!!binary is not text in base64")
		}
		return text, nil
	case "!!null":
		return nil, nil
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return nil, bad(n, "", "%q is not a boolean", n.Value)
		}
		return b, nil
	case "!!int":
		var i int64
		if n.Decode(&i) == nil {
			return i, nil
		}
		var f float64
		if err := n.Decode(&f); err != nil {
			return nil, bad(n, "", "%q is not a number", n.Value)
		}
		return f, nil
	case "!!float":
		var f float64
		if err := n.Decode(&f); err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return nil, bad(n, "quote it if it is a string", "%q is not a number that JSON has", n.Value)
		}
		// Through JSON, 3.0 and 3e0 are 3.
		if i := int64(f); float64(i) == f && math.Abs(f) < 1<<63 {
			return i, nil
		}
		return f, nil
	}
	return nil, bad(n, "Kubernetes objects use plain YAML only", "unknown YAML tag %q", n.Tag)
}

// keyName returns the key that kubectl makes of a scalar: a plain `on` or
// `0x10` is a boolean or a number first.
func keyName(n *yaml.Node) string {
	v, err := scalar(n)
	if err != nil {
		return n.Value
	}
	if n.ShortTag() == "!!float" {
		var f float64
		_ = n.Decode(&f)                           // scalar did
		return strconv.FormatFloat(f, 'g', -1, 32) // 32 as in sigs.k8s.io/yaml
	}
	switch v := v.(type) {
	case bool, int64:
		return fmt.Sprint(v)
	case string:
		return v
	}
	return n.Value
}

// signedOctal finds `0o-7`, which is a number to this library and a string to
// kubectl's.
func signedOctal(s string) bool {
	if !strings.HasPrefix(s, "0") {
		return false
	}
	s = strings.ReplaceAll(s, "_", "")
	return strings.HasPrefix(s, "0o+") || strings.HasPrefix(s, "0o-")
}

func bool11(s string) (value, ok bool) {
	switch s {
	case "y", "Y", "yes", "Yes", "YES", "on", "On", "ON":
		return true, true
	case "n", "N", "no", "No", "NO", "off", "Off", "OFF":
		return false, true
	}
	return false, false
}
