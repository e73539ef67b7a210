package harden

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// JSONPatch returns the changes of one object as a JSON patch (RFC 6902) in YAML,
// for tools that render before they patch. Above each operation stand the rules
// that ask for it. Before the first operation in an entry of a list there is a test
// of its name: applied to an object whose list is another one by now, the patch
// fails instead of changing somebody else's entry.
func JSONPatch(o *manifest.Object, changes []Change) ([]byte, error) {
	var plain []manifest.Change
	for _, c := range changes {
		plain = append(plain, c.Change)
	}
	now, err := manifest.Changed(o, plain)
	if err != nil {
		return nil, err
	}
	w := patchWriter{changes: changes, list: &yaml.Node{Kind: yaml.SequenceNode}}
	if err := w.between(nil, o.Whole().Value, now); err != nil {
		return nil, err
	}
	return encode(w.list)
}

// patchWriter writes the difference between two values as operations.
type patchWriter struct {
	changes []Change
	list    *yaml.Node
}

func (w *patchWriter) between(at manifest.Path, old, now any) error {
	if reflect.DeepEqual(old, now) {
		return nil
	}
	switch n := now.(type) {
	case map[string]any:
		if o, ok := old.(map[string]any); ok {
			return w.mapping(at, o, n)
		}
	case []any:
		if o, ok := old.([]any); ok && len(o) <= len(n) && (len(o) == 0 || entries(o)) {
			return w.entries(at, o, n)
		}
	}
	return w.op("replace", at, pointer(at), now)
}

func (w *patchWriter) mapping(at manifest.Path, old, now map[string]any) error {
	for _, key := range sorted(now) {
		next := at.Join(key)
		was, there := old[key]
		var err error
		if there {
			err = w.between(next, was, now[key])
		} else {
			err = w.op("add", next, pointer(next), now[key])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *patchWriter) entries(at manifest.Path, old, now []any) error {
	for i, entry := range now {
		next := at.Join(i)
		if i >= len(old) {
			if err := w.op("add", next, pointer(at)+"/-", entry); err != nil {
				return err
			}
			continue
		}
		if reflect.DeepEqual(old[i], entry) {
			continue
		}
		if m, _ := old[i].(map[string]any); m != nil && m["name"] != nil {
			if err := w.op("test", next.Join("name"), pointer(next.Join("name")), m["name"]); err != nil {
				return err
			}
		}
		if err := w.between(next, old[i], entry); err != nil {
			return err
		}
	}
	return nil
}

// entries reports whether a list is one of mappings, which are changed one by one.
func entries(list []any) bool {
	return !slices.ContainsFunc(list, func(v any) bool { _, ok := v.(map[string]any); return !ok })
}

func (w *patchWriter) op(op string, at manifest.Path, where string, value any) error {
	v := &yaml.Node{}
	if err := v.Encode(value); err != nil {
		return fmt.Errorf("writing %s: %w", at, err)
	}
	node := &yaml.Node{Kind: yaml.MappingNode}
	node.Content = []*yaml.Node{scalar("op"), scalar(op), scalar("path"), scalar(where), scalar("value"), v}
	if op != "test" {
		node.HeadComment = w.rules(at)
	}
	w.list.Content = append(w.list.Content, node)
	return nil
}

// rules are those of the changes at or below a path, as a comment.
func (w *patchWriter) rules(at manifest.Path) string {
	var names []string
	path := at.String()
	for _, c := range w.changes {
		if p := c.Path.String(); (p == path || strings.HasPrefix(p, path+".") || strings.HasPrefix(p, path+"[")) && !slices.Contains(names, c.Rule) {
			names = append(names, c.Rule)
		}
	}
	return printable.Text(strings.Join(names, ", "))
}

// pointer writes a path as a JSON pointer (RFC 6901).
func pointer(at manifest.Path) string {
	var b strings.Builder
	for _, seg := range at {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(fmt.Sprint(seg)))
	}
	return b.String()
}

func scalar(text string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(text)
	return n
}

func encode(n *yaml.Node) ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(n); err != nil {
		return nil, err
	}
	return out.Bytes(), enc.Close()
}
