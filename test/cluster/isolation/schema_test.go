package isolation

import (
	"fmt"
	"regexp"
	"strings"
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
			} else if tt.Field != "apiVersion" && !names(err.Error(), tt.Field) {
				t.Errorf("refused without a word of %s: %v", tt.Field, err)
			}
		})
	}
}

// names reports whether an error says which field is meant, or the part of the
// spec that it is in.
func names(text, field string) bool {
	at, err := manifest.ParsePath(field)
	if err != nil {
		return false
	}
	last := len(at) - 1
	if _, item := at[last].(int); item {
		last--
	}
	return strings.Contains(text, fmt.Sprint(at[last])) || strings.Contains(text, fmt.Sprint(at[1])) || strings.Contains(text, "spec: Required value")
}

// explained: kubectl explains every field of the CRDs, and lists objects by what
// matters of them.
func (c *cluster) explained(t *testing.T) {
	kubectl := func(args ...string) string {
		t.Helper()
		out, err := c.server.Kubectl(t.Context(), args...).CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for _, name := range []string{"isolationpolicies", "breakglasses"} {
		var crd map[string]any
		readYAML(t, "../../../deploy/crds/bulkhead.dev_"+name+".yaml", &crd)
		schema, ok := manifest.Lookup(crd, manifest.Path{"spec", "versions", 0, "schema", "openAPIV3Schema"})
		if !ok {
			t.Fatalf("%s has no schema", name)
		}
		fields := 0
		described(schema.(map[string]any), name, func(path, text string) {
			fields++
			if strings.TrimSpace(text) == "" && path != name+".metadata" {
				t.Errorf("%s is not explained", path)
			}
		})
		if fields < 7 {
			t.Errorf("%s: %d fields", name, fields)
		}
		if text := kubectl("explain", name+".spec"); strings.Contains(text, "<no description>") || !strings.Contains(text, "DESCRIPTION:") {
			t.Errorf("kubectl explain %s.spec:\n%s", name, text)
		}
	}
	if text := kubectl("explain", "isolationpolicy.spec.undeclared.floor"); !strings.Contains(text, "It is the guarantee") || !strings.Contains(text, "user-kernel") {
		t.Errorf("kubectl explain:\n%s", text)
	}
	c.namespace(t, team, nil)
	var policy map[string]any
	readYAML(t, defaultPolicy, &policy)
	if err := c.apply(t.Context(), &unstructured.Unstructured{Object: policy}); err != nil {
		t.Fatal(err)
	}
	c.applyAll(t, breakGlass(team, "break-glass", ended))
	for kind, want := range map[string]string{
		"isolationpolicies": `^NAME +MODE +BASELINE +FLOOR +READY +AGE\ndefault +Enforce +Enforce +shared-kernel +`,
		"breakglasses":      `^NAME +EXPIRES +REASON\nbreak-glass +` + ended + ` +the nodes with KVM are down`,
	} {
		if text := kubectl("get", kind, "-n", team); !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("kubectl get %s:\n%s", kind, text)
		}
	}
}

// described calls each with every field of a schema and its description.
func described(schema map[string]any, path string, each func(path, text string)) {
	text, _ := schema["description"].(string)
	each(path, text)
	if items, ok := schema["items"].(map[string]any); ok {
		schema = items
	}
	fields, _ := schema["properties"].(map[string]any)
	for name, field := range fields {
		described(field.(map[string]any), path+"."+name, each)
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
