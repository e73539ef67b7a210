package render

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/strvals"
)

// Values are what a user gives a chart, as `helm template` takes it.
type Values struct {
	Files []string // --values: YAML files, the later over the earlier
	Set   []string // --set: KEY=VALUE, over the files
	// Release is the release that the chart is rendered for; "" is Helm's default.
	Release string
	// Schema holds the values against the schemas of the chart.
	Schema bool
}

const releaseName, releaseNamespace = "release-name", "default" // as `helm template` has them

// Chart renders a chart, a folder or a .tgz, with the values. Templates cannot
// look anything up in a cluster or a DNS. Names of files begin with the chart's
// path, so that they are where a person finds the template. A *SchemaError comes
// with the files.
func Chart(ctx context.Context, dir string, v Values) ([]File, error) {
	given, err := v.read()
	if err != nil {
		return nil, err
	}
	c, err := loader.Load(dir)
	if err != nil {
		return nil, hinted{fmt.Errorf("loading the chart: %w", err), "`helm lint` says more"}
	}
	if missing := missingDependencies(c); len(missing) > 0 {
		return nil, hinted{fmt.Errorf("the chart needs %s, which is not in its folder charts/", strings.Join(missing, ", ")),
			"run `helm dependency build " + dir + "`: check fetches nothing"}
	}
	if err := chartutil.ProcessDependencies(c, given); err != nil {
		return nil, hinted{fmt.Errorf("values for the chart's dependencies: %w", err), "check --values and --set"}
	}
	options := common.ReleaseOptions{Name: cmp.Or(v.Release, releaseName), Namespace: releaseNamespace, Revision: 1, IsInstall: true}
	// A schema may refer to others by URL, which Helm would fetch.
	values, err := util.ToRenderValuesWithSchemaValidation(c, given, options, nil, true)
	if err != nil {
		return nil, hinted{fmt.Errorf("values for the chart: %w", err), "check --values and --set"}
	}
	rendered, err := engine.Engine{}.RenderWithContext(ctx, c, values)
	if err != nil {
		return nil, hinted{fmt.Errorf("rendering the chart: %w", err), "give the values that it needs with --values FILE or --set KEY=VALUE"}
	}
	if v.Schema {
		all, err := values.Table("Values")
		if err != nil {
			return nil, err
		}
		return files(dir, rendered), held(c, all.AsMap())
	}
	return files(dir, rendered), nil
}

// files returns what is manifests of what was rendered, by name. The engine
// names files by the chart; here they are named by its path.
func files(dir string, rendered map[string]string) []File {
	var out []File
	for _, name := range slices.Sorted(maps.Keys(rendered)) {
		_, rest, _ := strings.Cut(name, "/")
		if path.Base(name) == "NOTES.txt" || strings.TrimSpace(rendered[name]) == "" {
			continue
		}
		out = append(out, File{path.Join(dir, rest), rendered[name]})
	}
	return out
}

func missingDependencies(c *chart.Chart) []string {
	var missing []string
	for _, need := range c.Metadata.Dependencies {
		has := slices.ContainsFunc(c.Dependencies(), func(d *chart.Chart) bool { return d.Name() == need.Name })
		if !has {
			missing = append(missing, need.Name)
		}
	}
	return missing
}

// maxValuesBytes bounds one file of values.
const maxValuesBytes = 16 << 20

func (v Values) read() (map[string]any, error) {
	out := map[string]any{}
	for _, name := range v.Files {
		more, err := readValues(name)
		if err != nil {
			return nil, hinted{fmt.Errorf("--values: %w", err), "name a YAML file with values for the chart"}
		}
		out = loader.MergeMaps(out, more)
	}
	for _, s := range v.Set {
		if err := strvals.ParseInto(s, out); err != nil {
			return nil, hinted{fmt.Errorf("--set %s: %w", s, err), "write KEY=VALUE, as for `helm --set`"}
		}
	}
	return out, nil
}

func readValues(name string) (map[string]any, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxValuesBytes {
		return nil, errors.New(name + " is larger than 16 MiB")
	}
	values, err := loader.LoadValues(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return values, nil
}

// ChartKeys returns the keys of a chart's values, those of its dependencies and the
// given ones included, as one object of kind Values. Of what is not a mapping only
// the kind is told: "list", "empty" (a list) or "scalar".
func ChartKeys(dir string, v Values) (File, error) {
	given, err := v.read()
	if err != nil {
		return File{}, err
	}
	c, err := loader.Load(dir)
	if err != nil {
		return File{}, err
	}
	if err := chartutil.ProcessDependencies(c, given); err != nil {
		return File{}, err
	}
	all, err := util.CoalesceValues(c, given)
	if err != nil {
		return File{}, err
	}
	text, err := json.Marshal(map[string]any{"apiVersion": "bulkhead.dev/values/v1", "kind": "Values", "values": keysOf(map[string]any(all), 0)})
	return File{dir, string(text)}, err
}

const deepestKey = 16

func keysOf(v any, depth int) any {
	switch x := v.(type) {
	case map[string]any:
		if depth > deepestKey {
			return "scalar"
		}
		out := map[string]any{}
		for key, item := range x {
			out[key] = keysOf(item, depth+1)
		}
		return out
	case []any:
		if len(x) == 0 {
			return "empty"
		}
		return "list"
	}
	return "scalar"
}
