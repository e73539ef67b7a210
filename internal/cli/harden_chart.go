package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/harden"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// What a search for values may cost beside the limits of one rendering.
const (
	maxRenders   = 300
	renderedFile = "rendered.yaml"
	valuesFile   = "values.yaml"
	postRender   = "post-render"
	schemaFile   = "values.schema.json" // of a chart
)

// chart returns the chart that is all of the input; nil where it is none.
func (h *hardening) chart() *manifest.Unit {
	if len(h.input.objects) == 0 || h.input.bad {
		return nil
	}
	u := h.input.objects[0].Unit
	if u == nil || u.Form != manifest.Chart || slices.ContainsFunc(h.input.objects, func(o *manifest.Object) bool { return o.Unit == nil || *o.Unit != *u }) {
		return nil
	}
	return u
}

// values hardens a chart: a file of values for what its values reach, and a
// post-render patch for the rest, which kustomize has built to what was meant.
func (h *hardening) values(ctx context.Context, f hardenFlags, chart manifest.Unit) error {
	h.kept = func(manifest.Unit) string { return "" }
	if err := h.plan(); err != nil {
		return err
	}
	s := newStage(f.outDir)
	found, all, err := h.search(ctx, f, chart)
	if err != nil {
		h.refuse(&manifest.Error{File: chart.Path, Reason: "not written: " + err.Error(), Hint: fault.Hint(err)})
		return nil
	}
	if !all {
		h.said = append(h.said, chart.Path+": not every value was tried, for want of time; what was not is in the patch")
	}
	if len(found) == 0 {
		h.said = append(h.said, fmt.Sprintf("%s: no value of the chart reaches what must change: all of it is the post-render patch", chart.Path))
	} else {
		text, err := harden.ValuesFile([]string{"Values for the chart " + filepath.Base(chart.Path) + ", beside your own. Above each stands what it reaches."}, found)
		if err != nil {
			return err
		}
		s.files["."] = []harden.File{{Path: valuesFile, Text: text}}
	}
	if err := h.patchRest(ctx, f, s); err != nil {
		h.refuse(&manifest.Error{File: filepath.Join(f.outDir, postRender), Reason: "not written: " + err.Error(), Hint: fault.Hint(err)})
		return nil
	}
	var refused []*manifest.Error
	h.files, refused = s.publish()
	h.refuse(refused...)
	return nil
}

// search looks for values. What the chart renders to with them takes the place of
// what was read.
func (h *hardening) search(ctx context.Context, f hardenFlags, chart manifest.Unit) ([]harden.Value, bool, error) {
	k := f.inputs.kube()
	keys, err := k.run(ctx, append([]string{"render", "keys", chart.Path, fmt.Sprintf("--memory=%d", renderMemory)}, k.render...), []string{"TMPDIR=" + os.TempDir()}, renderOutput)
	if err != nil || len(keys.Objects) != 1 {
		return nil, false, fault.WithHint(fmt.Errorf("reading the values of the chart: %w", errors.Join(err, errorsOf(keys))), "render it yourself, and harden what comes out")
	}
	values, _ := keys.Objects[0].Whole().Value["values"].(map[string]any)
	temp, err := os.MkdirTemp("", "bulkhead-values-")
	if err != nil {
		return nil, false, err
	}
	defer os.RemoveAll(temp)
	// A chart that takes its time each time must not take hours.
	end := time.Now().Add(4 * f.inputs.renderTimeout)
	renders := 0
	render := func(more map[string]any) ([]*manifest.Object, error) {
		if renders++; renders > maxRenders || time.Now().After(end) || ctx.Err() != nil {
			return nil, harden.ErrBudget
		}
		return renderWith(ctx, f.inputs.kube(), chart, filepath.Join(temp, valuesFile), more)
	}
	s := &harden.Search{Render: render, Keys: values}
	found, all, err := s.Run(h.input.objects, h.plans)
	if err != nil && !errors.Is(err, harden.ErrRefused) {
		return nil, all, err
	}
	h.renamed = func(o *manifest.Object) bool { return !s.Stable(o) }
	if h.left = s.Left(h.input.outcome, err); len(found) == 0 {
		return nil, all, nil
	}
	// The outcome has the same workloads in the same order.
	objects, err := renderWith(ctx, f.inputs.kube(), chart, filepath.Join(temp, valuesFile), harden.Tree(found))
	if err != nil {
		return nil, false, err
	}
	for _, o := range objects {
		o.Unit = &chart
	}
	h.input.objects = objects
	if h.input.outcome, err = h.decide(objects); err != nil {
		return nil, false, err
	}
	return found, all, h.plan()
}

func renderWith(ctx context.Context, k kube, chart manifest.Unit, file string, more map[string]any) ([]*manifest.Object, error) {
	text, err := yaml.Marshal(more)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return nil, err
	}
	k.render = append(slices.Clone(k.render), "--values="+file, "--schema")
	batch := k.unit(ctx, chart)
	if len(batch.Errors) == 1 && filepath.Base(batch.Errors[0].File) == schemaFile {
		return batch.Objects, fmt.Errorf("%w: %s", harden.ErrRefused, batch.Errors[0].Reason)
	}
	return batch.Objects, errorsOf(batch)
}

func errorsOf(b manifest.Batch) error {
	if len(b.Errors) == 0 {
		return nil
	}
	return fault.WithHint(errors.New(b.Errors[0].Reason), b.Errors[0].Hint)
}

// patchRest stages a post-render patch for what is still planned.
func (h *hardening) patchRest(ctx context.Context, f hardenFlags, s *stage) error {
	for i, p := range h.plans {
		switch o := p.Decision.Workload.Object; {
		case p.Kept != "":
		case hook(o):
			h.plans[i].Kept = "it is a hook of Helm, which Helm 3 does not give to a post-renderer"
		case h.renamed(o):
			h.plans[i].Kept = "it has another name in each rendering of the chart, so that no patch finds it: give the chart the value that its name comes from"
		}
	}
	if err := h.judgeEdited(); err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "bulkhead-rendered-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	rendered := filepath.Join(temp, renderedFile)
	l := &layer{dir: postRender, objects: h.input.objects, resources: []string{rendered}}
	var text []byte
	for _, o := range h.input.objects {
		doc, err := yaml.Marshal(o.Whole().Value)
		if err != nil {
			return err
		}
		text = append(append(text, "---\n"...), doc...)
	}
	if err := os.WriteFile(rendered, text, 0o600); err != nil {
		return err
	}
	o := harden.Overlay{Plans: h.plans, Sets: h.sets(), Said: strings.Split(strings.TrimSpace(postSaid), "\n")}
	if err := h.compare(ctx, s, l, o, f.inputs.kube()); err != nil {
		return err
	}
	o.Resources = []string{renderedFile}
	files, err := o.Files()
	if err != nil || len(files) == 1 { // there is nothing to patch and nothing to add
		return err
	}
	s.files[postRender] = append([]harden.File{
		{Path: "plugin.yaml", Text: harden.Mark([]byte(pluginYAML))},
		{Path: "post-render.sh", Text: harden.Mark([]byte(postScript))},
	}, files...)
	return nil
}

func hook(o *manifest.Object) bool {
	_, is := manifest.Lookup(o.Whole().Value, manifest.Path{"metadata", "annotations", "helm.sh/hook"})
	return is
}

const postSaid = `
Patches for what a chart renders to, which post-render.sh puts beside them:
  Helm 3: helm upgrade --install RELEASE CHART --values ../values.yaml --post-renderer ./post-render.sh
  Helm 4: helm plugin install . once, then --post-renderer bulkhead-post-render
They are for one release: a build for another one fails.`

const pluginYAML = `apiVersion: v1
name: bulkhead-post-render
version: 0.1.0
type: postrenderer/v1
runtime: subprocess
runtimeConfig:
  platformCommand:
    - command: ${HELM_PLUGIN_DIR}/post-render.sh
`

const postScript = `#!/bin/sh
# What a chart renders to comes in; with the patches of this folder it goes out.
set -eu
here=$(CDPATH= cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here"/*.yaml "$work"
cat > "$work/rendered.yaml"
if command -v kustomize > /dev/null; then
  kustomize build "$work"
else
  kubectl kustomize "$work"
fi
`
