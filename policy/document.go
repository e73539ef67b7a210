package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Comments are lines of text by the place of the value that they stand above:
// `spec.egress.0`. The empty place is the document.
type Comments map[string][]string

// Document writes one object as YAML, in the order in which people write its
// fields, with comments. The same object gives the same bytes.
func Document(object any, comments Comments) ([]byte, error) {
	text, err := json.Marshal(object) // in the order of the API's types
	if err != nil {
		return nil, fmt.Errorf("rendering: %w", err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("rendering: %w", err)
	}
	root := doc.Content[0]
	arrange(root, "", comments)
	var out bytes.Buffer
	for _, line := range comments[""] {
		out.WriteString(comment(line) + "\n")
	}
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("rendering: %w", err)
	}
	return out.Bytes(), nil
}

// arrange gives a node of JSON the form of YAML that people write.
func arrange(n *yaml.Node, at string, comments Comments) {
	n.Style = 0
	if n.Kind == yaml.MappingNode {
		sortKeys(n)
	}
	for i, c := range n.Content {
		place := at
		switch n.Kind {
		case yaml.MappingNode:
			if i%2 == 0 {
				c.Style = 0
				continue
			}
			place = strings.TrimPrefix(at+"."+n.Content[i-1].Value, ".")
		case yaml.SequenceNode:
			place = fmt.Sprintf("%s.%d", at, i)
		}
		arrange(c, place, comments)
		var lines []string
		for _, line := range comments[place] {
			lines = append(lines, comment(line))
		}
		if len(lines) > 0 {
			c.HeadComment = strings.Join(lines, "\n")
		}
	}
}

// first are keys that people write before the others of their mapping.
func first() []string {
	return []string{"apiVersion", "kind", "metadata", "name", "namespace", "namespaceSelector", "podSelector", "policyTypes", "to", "protocol", "apiGroups", "resources"}
}

func sortKeys(m *yaml.Node) {
	type pair struct{ key, value *yaml.Node }
	var pairs []pair
	for i := 0; i+1 < len(m.Content); i += 2 {
		pairs = append(pairs, pair{m.Content[i], m.Content[i+1]})
	}
	order := first()
	rank := func(key string) int {
		if i := slices.Index(order, key); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortStableFunc(pairs, func(a, b pair) int { return rank(a.key.Value) - rank(b.key.Value) })
	m.Content = m.Content[:0]
	for _, p := range pairs {
		m.Content = append(m.Content, p.key, p.value)
	}
}

// comment writes a line of one; foreign text does not end it.
func comment(s string) string {
	return strings.TrimRight("# "+strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == 0x85 || r == '\u2028' || r == '\u2029' || r == '\ufeff' {
			return ' '
		}
		return r
	}, s), " ")
}
