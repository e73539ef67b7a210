package policy

import (
	"fmt"
	"path"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
)

// staticSuffix is how the API server wants policies named that it loads from
// files: no request can make, change or delete one of that name.
const staticSuffix = ".static.k8s.io"

// Files are rendered objects in the form that an API server loads from its disk.
type Files struct {
	// Files are the configuration, admission.yaml, and a folder for each of the
	// two admission plugins.
	Files []File
	// Applied are all other objects: they belong into the cluster, as ever.
	Applied []Object
}

// File is the text of a file, and where in the folder it belongs.
type File struct {
	Path string
	Text []byte
}

// Static gives rendered admission policies the form of files that an API server
// loads itself from dir, an absolute path. Input.Static has to have been set; the
// objects are changed.
func Static(dir string, objects []Object) (Files, error) {
	validating, mutating, applied := byPlugin(objects)
	out := Files{Applied: applied}
	config := "apiVersion: apiserver.config.k8s.io/v1\nkind: AdmissionConfiguration\nplugins:\n"
	for _, plugin := range []struct {
		name, folder string
		objects      []Object
	}{{"ValidatingAdmissionPolicy", "validating", validating}, {"MutatingAdmissionPolicy", "mutating", mutating}} {
		if len(plugin.objects) == 0 {
			continue
		}
		text, err := YAML(plugin.objects)
		if err != nil {
			return Files{}, err
		}
		out.Files = append(out.Files, File{path.Join(plugin.folder, "bulkhead.yaml"), text})
		config += fmt.Sprintf("- name: %[1]s\n  configuration:\n    apiVersion: apiserver.config.k8s.io/v1\n    kind: %[1]sConfiguration\n    staticManifestsDir: %[2]q\n",
			plugin.name, path.Join(dir, plugin.folder))
	}
	out.Files = append(out.Files, File{"admission.yaml", []byte(config)})
	return out, nil
}

func byPlugin(objects []Object) (validating, mutating, applied []Object) {
	for _, o := range objects {
		name := strings.TrimSuffix(o.GetName(), staticSuffix) + staticSuffix
		switch o := o.(type) {
		case *admissionv1.ValidatingAdmissionPolicy:
			o.Name = name
			validating = append(validating, o)
		case *admissionv1.ValidatingAdmissionPolicyBinding:
			o.Name, o.Spec.PolicyName = name, name
			validating = append(validating, o)
		case *admissionv1.MutatingAdmissionPolicy:
			o.Name = name
			mutating = append(mutating, o)
		case *admissionv1.MutatingAdmissionPolicyBinding:
			o.Name, o.Spec.PolicyName = name, name
			mutating = append(mutating, o)
		default:
			applied = append(applied, o)
		}
	}
	return validating, mutating, applied
}
