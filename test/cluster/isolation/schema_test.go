package isolation

import (
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

const defaultPolicy = "../../../deploy/policies/default.yaml"

// schemaRefuses: what the command line refuses, the API server refuses by the
// schema.
func (c *cluster) schemaRefuses(t *testing.T) {
	var good map[string]any
	readYAML(t, defaultPolicy, &good)
	if err := c.create(t, good); err != nil {
		t.Fatal("the default policy is refused:", err)
	}
	var cases []struct {
		Name   string         `json:"name"`
		Set    map[string]any `json:"set"`
		Field  string         `json:"field"`
		Server *bool          `json:"server"`
	}
	readYAML(t, "../../../api/v1alpha1/testdata/refused.yaml", &cases)
	for _, tt := range cases {
		if tt.Server != nil && !*tt.Server {
			continue
		}
		t.Run(tt.Name, func(t *testing.T) {
			var object map[string]any
			readYAML(t, defaultPolicy, &object)
			for path, value := range tt.Set {
				set(t, object, path, value)
			}
			if err := c.create(t, object); err == nil {
				t.Error("accepted")
			} else if !apierrors.IsInvalid(err) && !apierrors.IsBadRequest(err) && tt.Field != "apiVersion" {
				t.Error("refused, but not by the schema:", err)
			} else {
				t.Log(err)
			}
		})
	}
}

// create tries to create a policy (dry run), with fields that are not known refused.
func (c *cluster) create(t *testing.T, object map[string]any) error {
	t.Helper()
	o := &unstructured.Unstructured{Object: object}
	resource, err := c.resource(o)
	if err != nil {
		return err
	}
	_, err = resource.Create(t.Context(), o, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict})
	return err
}

// set puts a value where a path says; nil takes it away.
func set(t *testing.T, object any, path string, value any) {
	t.Helper()
	at, err := manifest.ParsePath(path)
	if err != nil {
		t.Fatal(err)
	}
	parent, ok := manifest.Lookup(object, at[:len(at)-1])
	if !ok {
		t.Fatalf("nothing at %s", at[:len(at)-1])
	}
	switch key := at[len(at)-1].(type) {
	case int:
		parent.([]any)[key] = value
	case string:
		if value == nil {
			delete(parent.(map[string]any), key)
		} else {
			parent.(map[string]any)[key] = value
		}
	}
}
