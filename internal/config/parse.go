package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/risk"
)

// lineError is a mistake on a line of the file.
type lineError struct {
	line   int
	reason string
}

func (e *lineError) Error() string { return e.reason }

// wrong is a mistake at a node. The form is read from nodes and not into
// structs, so that every mistake has its line and nothing is dropped silently.
func wrong(n *yaml.Node, format string, args ...any) error {
	return &lineError{n.Line, fmt.Sprintf(format, args...)}
}

// Parse reads a configuration; name stands in its errors, which begin with
// name:line.
func Parse(name string, text []byte) (Config, error) {
	c := Default()
	c.File = name
	root, err := document(text)
	if err == nil {
		err = c.read(root)
	}
	if at, ok := errors.AsType[*lineError](err); ok {
		return Config{}, fmt.Errorf("%s:%d: %w", name, at.line, err)
	}
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", name, err)
	}
	return c, nil
}

var parserLine = regexp.MustCompile(`^yaml: line (\d+): `)

// document returns the top node of the only document.
func document(text []byte) (root *yaml.Node, err error) {
	defer func() { // the parser panics on some hostile input
		if p := recover(); p != nil {
			root, err = nil, fmt.Errorf("the YAML parser gave up: %v", p)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF) || err == nil && len(doc.Content) == 0:
		return nil, errors.New("the file is empty")
	case err != nil:
		return nil, placed(err)
	}
	switch err := dec.Decode(&second); {
	case err == nil:
		return nil, wrong(&second, "a second document: it would not be read")
	case !errors.Is(err, io.EOF):
		return nil, placed(err)
	}
	return doc.Content[0], nil
}

// placed takes the line out of the parser's message.
func placed(err error) error {
	text := err.Error()
	if m := parserLine.FindStringSubmatch(text); m != nil {
		line, _ := strconv.Atoi(m[1])
		return &lineError{line, strings.TrimPrefix(text, m[0])}
	}
	return errors.New(strings.TrimPrefix(text, "yaml: "))
}

func (c *Config) read(root *yaml.Node) error {
	top, err := mapping(root, "the file", "apiVersion", "routes", "runtimeClasses", "rules", "ruleFiles", "kinds", "images", "peers", "waivers")
	if err != nil {
		return err
	}
	var version string
	if err := top.text("apiVersion", &version, true); err != nil {
		return err
	}
	if version != APIVersion {
		return wrong(top.at("apiVersion"), "apiVersion is %q, not %q", version, APIVersion)
	}
	for _, section := range []struct {
		name string
		read func(*yaml.Node) error
	}{
		{"routes", c.readRoutes}, {"runtimeClasses", c.readRuntimeClasses}, {"rules", c.readRules}, {"ruleFiles", c.readRuleFiles},
		{"kinds", c.readKinds}, {"images", c.readImages}, {"peers", c.readPeers}, {"waivers", c.readWaivers},
	} {
		if n := top.value(section.name); n != nil {
			if err := section.read(n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *Config) readRuntimeClasses(n *yaml.Node) error {
	classes, err := mapping(n, "runtimeClasses")
	if err != nil {
		return err
	}
	classes.prefix = "runtimeClasses."
	for _, f := range classes.fields {
		var handler string
		if err := classes.text(f.key.Value, &handler, true); err != nil {
			return err
		}
		c.RuntimeClasses[f.key.Value] = handler
	}
	return nil
}

func (c *Config) readWaivers(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		return wrong(n, "waivers is not a list")
	}
	for _, item := range n.Content {
		w, err := readWaiver(deref(item))
		if err != nil {
			return fmt.Errorf("waiver: %w", err)
		}
		c.Waivers = append(c.Waivers, w)
	}
	return nil
}

func (c *Config) readRoutes(n *yaml.Node) error {
	routes, err := mapping(n, "routes")
	if err != nil {
		return err
	}
	for _, f := range routes.fields {
		class, err := risk.ParseClass(f.key.Value)
		if err != nil {
			return wrong(f.key, "routes: %v", err)
		}
		if f.value.Kind != yaml.SequenceNode {
			return wrong(f.value, "route of class %s is not a list of runtimes", class)
		}
		route := []boundary.Runtime{}
		for _, item := range f.value.Content {
			item = deref(item)
			if item.Kind != yaml.ScalarNode {
				return wrong(item, "route of class %s: a runtime is a name", class)
			}
			route = append(route, boundary.Runtime(item.Value))
		}
		if err := (boundary.Routes{class: route}).Validate(); err != nil {
			return wrong(f.key, "%v", err)
		}
		c.Routes[class] = route
	}
	return nil
}

func readWaiver(n *yaml.Node) (Waiver, error) {
	form, err := mapping(n, "a waiver", "owner", "reason", "ticket", "expires", "scope", "accept")
	if err != nil {
		return Waiver{}, err
	}
	scope, err := form.mapping("scope", "kind", "namespace", "name", "container")
	if err != nil {
		return Waiver{}, err
	}
	accept, err := form.mapping("accept", "rule", "boundary")
	if err != nil {
		return Waiver{}, err
	}
	w := Waiver{Line: n.Line}
	var expires, weakest string
	for _, f := range []struct {
		in       *fields
		name     string
		into     *string
		required bool
	}{
		{form, "owner", &w.Owner, true},
		{form, "reason", &w.Reason, true},
		{form, "ticket", &w.Ticket, true},
		{form, "expires", &expires, true},
		{scope, "kind", &w.Kind, true},
		{scope, "namespace", &w.Namespace, false},
		{scope, "name", &w.Name, true},
		{scope, "container", &w.Container, false},
		{accept, "rule", &w.Rule, false},
		{accept, "boundary", &weakest, false},
	} {
		if err := f.in.text(f.name, f.into, f.required); err != nil {
			return Waiver{}, err
		}
	}
	day, err := time.Parse(time.DateOnly, expires)
	if err != nil {
		return Waiver{}, wrong(form.at("expires"), "expires is %q, not a date such as 2027-06-30", expires)
	}
	w.Expires = day.AddDate(0, 0, 1) // the day itself is included
	switch {
	case (w.Rule == "") == (weakest == ""):
		return Waiver{}, wrong(accept.node, "accept names either a rule or a boundary")
	case weakest != "" && w.Container != "":
		return Waiver{}, wrong(scope.at("container"), "a boundary holds for the whole pod: leave out scope.container")
	case weakest != "":
		if w.Boundary, err = boundary.Parse(weakest); err != nil {
			return Waiver{}, wrong(accept.at("boundary"), "accept: %v", err)
		}
	}
	return w, nil
}

// fields are the fields of a mapping, in their order.
type fields struct {
	node   *yaml.Node
	prefix string // "scope." for the fields of scope
	fields []field
}

type field struct{ key, value *yaml.Node }

// mapping returns the fields of a mapping (what, in errors); with known, no other fields may be
// there. Merge keys are no exception: nothing is gained by them here.
func mapping(n *yaml.Node, what string, known ...string) (*fields, error) {
	n = deref(n)
	if n.Kind != yaml.MappingNode {
		return nil, wrong(n, "%s is not a mapping", what)
	}
	m := &fields{node: n}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], deref(n.Content[i+1])
		switch {
		case key.Kind != yaml.ScalarNode:
			return nil, wrong(key, "a key that is not a string")
		case known != nil && !slices.Contains(known, key.Value):
			return nil, wrong(key, "unknown field %q: it is one of %s", key.Value, strings.Join(known, ", "))
		case m.value(key.Value) != nil:
			return nil, wrong(key, "field %q is there twice", key.Value)
		}
		m.fields = append(m.fields, field{key, value})
	}
	return m, nil
}

// value returns the value of a field, nil where it is missing.
func (m *fields) value(name string) *yaml.Node {
	for _, f := range m.fields {
		if f.key.Value == name {
			return f.value
		}
	}
	return nil
}

// at returns the node that a mistake in the field is about: its value, or the
// mapping where it is missing.
func (m *fields) at(name string) *yaml.Node {
	if v := m.value(name); v != nil {
		return v
	}
	return m.node
}

// mapping returns the fields of a field that must be there.
func (m *fields) mapping(name string, known ...string) (*fields, error) {
	v := m.value(name)
	if v == nil {
		return nil, wrong(m.node, "%s is required", name)
	}
	inner, err := mapping(v, name, known...)
	if err != nil {
		return nil, err
	}
	inner.prefix = name + "."
	return inner, nil
}

// text reads a field's text; a missing or empty one is an error where it is required.
func (m *fields) text(name string, into *string, required bool) error {
	v := m.value(name)
	if v == nil || v.ShortTag() == "!!null" || v.Kind == yaml.ScalarNode && v.Value == "" {
		if required {
			return wrong(m.at(name), "%s%s is required", m.prefix, name)
		}
		return nil
	}
	if v.Kind != yaml.ScalarNode {
		return wrong(v, "%s%s is not text", m.prefix, name)
	}
	*into = v.Value
	return nil
}

func deref(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias // an alias of an alias is none in YAML
	}
	return n
}
