package decide

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// Change is one field to set in the workload's object.
type Change struct {
	Path  manifest.Path
	Value any
	// Rule is that of the finding which it mends, Container its container ("" for
	// the whole pod).
	Rule, Container string
}

// change is a Change, where it is in which pod, and the position of its finding.
type change struct {
	Change
	w       *manifest.Workload
	pod     manifest.Path
	finding int
}

// change notes a field of the pod to set, for the latest finding. A pod that is
// written in another object is patched there.
func (j *judgement) change(at manifest.Path, value any) {
	if j.w.Source != j.w.Object {
		return
	}
	j.changes = append(j.changes, change{Change{Path: j.w.ObjectPath(at), Value: value}, j.w, at, len(j.row.Findings) - 1})
}

// open returns the changes for findings that count: what is waived is there on
// purpose, and a patch must not take it away.
func (j *judgement) open() []Change {
	var open []change
	for _, c := range j.changes {
		if f := j.row.Findings[c.finding]; f.Counts() {
			c.Rule, c.Container = f.Rule, f.Container
			open = append(open, c)
		}
	}
	var out []Change
	for _, c := range lift(open) {
		out = append(out, c.Change)
	}
	return out
}

// patch renders changes as a strategic merge patch: list entries (containers)
// are named by their name, so that it can be applied as it is.
func patch(o *manifest.Object, changes []Change) string {
	if len(changes) == 0 {
		return ""
	}
	root := &yaml.Node{Kind: yaml.MappingNode}
	set(root, "apiVersion", text(o.APIVersion))
	set(root, "kind", text(o.Kind))
	meta := child(root, "metadata", yaml.MappingNode)
	set(meta, "name", text(o.Name))
	if o.Namespace != "" {
		set(meta, "namespace", text(o.Namespace))
	}
	for _, c := range changes {
		apply(root, o, c)
	}
	var buf bytes.Buffer
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return "" // nodes made here always encode
	}
	return buf.String()
}

func apply(node *yaml.Node, o *manifest.Object, c Change) {
	for i, seg := range c.Path {
		switch key := seg.(type) {
		case int:
			v, _ := manifest.Lookup(o.Value, c.Path[:i+1].Join("name"))
			name, _ := v.(string)
			node = entry(node, name)
		case string:
			if i == len(c.Path)-1 {
				set(node, key, valueNode(c.Value))
				return
			}
			kind := yaml.MappingNode
			if _, list := c.Path[i+1].(int); list {
				kind = yaml.SequenceNode
			}
			node = child(node, key, kind)
		}
	}
}

func text(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	return n
}

// valueNode writes what rules set. yaml.Node.Encode alone would do, at the price
// of an emitter and a parser a value.
func valueNode(v any) *yaml.Node {
	n := &yaml.Node{}
	switch x := v.(type) {
	case string:
		n.SetString(x)
	case bool, int:
		n.Kind, n.Value = yaml.ScalarNode, fmt.Sprint(x)
	case []any:
		n.Kind = yaml.SequenceNode
		for _, item := range x {
			n.Content = append(n.Content, valueNode(item))
		}
	default:
		_ = n.Encode(v) // what was read from YAML always encodes
	}
	return n
}

// child returns the value of a key, made where it is missing.
func child(m *yaml.Node, key string, kind yaml.Kind) *yaml.Node {
	for i := 0; i+1 < len(m.Content); i += 2 {
		if m.Content[i].Value == key {
			return m.Content[i+1]
		}
	}
	n := &yaml.Node{Kind: kind}
	set(m, key, n)
	return n
}

func set(m *yaml.Node, key string, value *yaml.Node) {
	m.Content = append(m.Content, text(key), value)
}

// entry returns the list entry with a name, made where it is missing.
func entry(list *yaml.Node, name string) *yaml.Node {
	for _, e := range list.Content {
		if len(e.Content) > 1 && e.Content[1].Value == name {
			return e
		}
	}
	e := &yaml.Node{Kind: yaml.MappingNode}
	set(e, "name", text(name))
	list.Content = append(list.Content, e)
	return e
}
