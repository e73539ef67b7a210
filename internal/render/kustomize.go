package render

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resource"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// Kustomization renders a folder with a kustomization. Each kustomization may
// load files from its own folder only; generators and transformers that are
// programs, and Helm charts, are refused. Without the network (see Offline)
// remote resources fail. anyFile takes files from everywhere.
func Kustomization(dir string, anyFile bool) ([]File, error) {
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = types.LoadRestrictionsRootOnly
	if anyFile {
		options.LoadRestrictions = types.LoadRestrictionsNone
	}
	options.PluginConfig = types.DisabledPluginConfig()
	out, err := krusty.MakeKustomizer(options).Run(withOrigins{filesys.MakeFsOnDisk()}, dir)
	if err != nil {
		return nil, explain(dir, err)
	}
	var files []File
	for _, r := range out.Resources() {
		f, err := file(dir, r)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", r.CurId(), err)
		}
		files = append(files, f)
	}
	return files, nil
}

// file writes one resource, named after the file that it comes from.
func file(dir string, r *resource.Resource) (File, error) {
	name := filepath.Join(dir, "kustomization.yaml")
	origin, err := r.GetOrigin()
	if err != nil {
		return File{}, err
	}
	switch {
	case origin == nil:
	case origin.Repo != "":
		name = origin.Repo + "//" + origin.Path
	case origin.Path != "":
		name = filepath.Join(dir, origin.Path)
	case origin.ConfiguredIn != "": // made by a generator
		name = filepath.Join(dir, origin.ConfiguredIn)
	}
	if err := r.SetOrigin(nil); err != nil {
		return File{}, err
	}
	text, err := r.AsYAML()
	return File{name, string(text)}, err
}

// explain turns an error of kustomize into one line with a next step.
func explain(dir string, err error) error {
	hint := "run `kustomize build " + dir + "` to see it happen"
	text := err.Error()
	switch {
	case errors.Is(err, errOffline) || strings.Contains(text, errOffline.Error()) || strings.Contains(text, "no 'git' program on path"):
		hint = "it is on the network: --kustomize-remote allows that"
	case strings.Contains(text, "security; file"):
		hint = "a kustomization may load files from its own folder only: move the file, or make a base of its folder"
	case strings.Contains(text, "external plugins disabled"), strings.Contains(text, "enable-helm"), strings.Contains(text, "--enable-"):
		hint = "render it with `kustomize build` and pipe that in: check starts no programs that a manifest names"
	}
	return hinted{fmt.Errorf("rendering the kustomization: %s", strings.Join(strings.Fields(text), " ")), hint}
}

// withOrigins is a file system in which every kustomization asks for notes on
// where its resources come from.
type withOrigins struct{ filesys.FileSystem }

func (fs withOrigins) ReadFile(path string) ([]byte, error) {
	text, err := fs.FileSystem.ReadFile(path)
	if err != nil {
		return nil, err
	}
	switch filepath.Base(path) {
	case "kustomization.yaml", "kustomization.yml", "Kustomization":
		return askForOrigins(text), nil
	}
	return text, nil
}

func askForOrigins(text []byte) []byte {
	var k struct {
		BuildMetadata []string `json:"buildMetadata"`
	}
	// One that cannot be read is left alone: kustomize says what is wrong with it.
	if yaml.Unmarshal(text, &k) != nil || len(k.BuildMetadata) > 0 || len(bytes.TrimSpace(text)) == 0 || bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		return text
	}
	return append(bytes.TrimRight(text, "\n"), "\nbuildMetadata: [originAnnotations]\n"...)
}
