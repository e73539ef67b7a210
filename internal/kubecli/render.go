package kubecli

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/kubewire"
	"github.com/bulkhead-dev/bulkhead/internal/render"
	"github.com/bulkhead-dev/bulkhead/internal/version"
)

// renderFlags are the flags of render.
type renderFlags struct {
	values render.Values
	remote bool
	any    bool
	memory int64
}

func newRender(s Streams) *cobra.Command {
	var f renderFlags
	cmd := &cobra.Command{
		Use:   "render chart|keys|kustomization PATH",
		Short: "Render a chart or a kustomization to manifests",
		Long: `render writes the manifests of one chart (a folder or .tgz) or kustomization, or
the keys of a chart's values.
What cannot be rendered is a frame too.

Exit code: 0, or 2 where nothing could be written.`,
		Example: `  bulkhead-kube render chart ./chart --values prod.yaml --set replicas=2
  bulkhead-kube render kustomization deploy/overlays/prod`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 || !slices.Contains([]string{"chart", "keys", "kustomization"}, args[0]) {
				return usageError(errors.New("render takes `chart PATH`, `keys PATH` or `kustomization PATH`"), "see `bulkhead-kube render --help`")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), s, args[0], args[1]) },
	}
	cmd.Flags().StringArrayVar(&f.values.Files, "values", nil, "file with values for the chart (repeatable)")
	cmd.Flags().StringArrayVar(&f.values.Set, "set", nil, "a value for the chart, KEY=VALUE (repeatable)")
	cmd.Flags().StringVar(&f.values.Release, "release", "", "release that the chart is rendered for")
	cmd.Flags().BoolVar(&f.values.Schema, "schema", false, "hold the values against the chart's schema, without the network")
	cmd.Flags().BoolVar(&f.remote, "kustomize-remote", false, "let a kustomization have resources from the network")
	cmd.Flags().BoolVar(&f.any, "kustomize-any-file", false, "let a kustomization have files from outside of its folder")
	cmd.Flags().Int64Var(&f.memory, "memory", 1<<30, "bytes of memory, past which it ends")
	return cmd
}

func (f renderFlags) run(ctx context.Context, s Streams, form, path string) error {
	if err := render.Confine(f.memory); err != nil {
		return fault.WithHint(err, "give --memory a number of bytes that this system allows")
	}
	if !f.remote {
		if err := render.Offline(); err != nil {
			return fmt.Errorf("going offline: %w", err)
		}
	}
	w, err := kubewire.NewWriter(s.Out, version.String())
	if err != nil {
		return err
	}
	var files []render.File
	switch form {
	case "chart":
		files, err = render.Chart(ctx, path, f.values)
	case "keys":
		var file render.File
		if file, err = render.ChartKeys(path, f.values); err == nil {
			files = []render.File{file}
		}
	default:
		files, err = render.Kustomization(path, f.any)
	}
	if err != nil {
		file := path
		if _, ok := errors.AsType[*render.SchemaError](err); ok {
			file = filepath.Join(path, render.SchemaFile)
		}
		err = w.Problem(kubewire.Problem{File: file, Reason: err.Error(), Hint: render.Hint(err)})
	}
	for _, file := range files {
		err = errors.Join(err, w.Manifest(file.Name, file.Text))
	}
	return errors.Join(err, w.Done())
}
