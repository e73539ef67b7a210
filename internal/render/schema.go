package render

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	chart "helm.sh/helm/v4/pkg/chart/v2"
)

// SchemaFile is the file of a chart that says what its values may be.
const SchemaFile = "values.schema.json"

// SchemaError says why Helm would refuse the values of a chart, whose manifests
// there are all the same.
type SchemaError struct{ reason string }

func (e *SchemaError) Error() string { return e.reason }

// held holds values against the schemas of a chart and its dependencies, as Helm
// does but for what a schema takes from elsewhere: nothing is fetched, and no other
// file is read, so that such a schema refuses all.
func held(c *chart.Chart, values map[string]any) error {
	var all []string
	if len(c.Schema) > 0 {
		if err := bySchema(c.Schema, values); err != nil {
			all = append(all, fmt.Sprintf("%s of %s: %v", SchemaFile, c.Name(), err))
		}
	}
	for _, d := range c.Dependencies() {
		below, _ := values[d.Name()].(map[string]any)
		if below == nil {
			continue
		}
		if err := held(d, below); err != nil {
			all = append(all, err.Error())
		}
	}
	if len(all) > 0 {
		return &SchemaError{strings.Join(all, "; ")}
	}
	return nil
}

func bySchema(text []byte, values map[string]any) (err error) {
	defer func() { // a schema is foreign
		if p := recover(); p != nil {
			err = fmt.Errorf("it cannot be read: %v", p)
		}
	}()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	const name = "file:///" + SchemaFile
	c := jsonschema.NewCompiler()
	c.UseLoader(nothing{})
	if err := c.AddResource(name, doc); err != nil {
		return err
	}
	s, err := c.Compile(name)
	if err != nil {
		return err
	}
	if err := s.Validate(values); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "jsonschema validation failed with '"+name+"#'\n"))
	}
	return nil
}

// nothing loads no schema from anywhere.
type nothing struct{}

func (nothing) Load(string) (any, error) { return nil, errOffline }
