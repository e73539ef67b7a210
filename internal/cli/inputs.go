package cli

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// renderTimeout is how long a chart or kustomization may render where no flag
// says it.
const renderTimeout = 30 * time.Second

// inputFlags say how inputs that are no plain manifests are read.
type inputFlags struct {
	values        []string
	set           []string
	release       string
	remote        bool // kustomizations may have resources from the network
	renderTimeout time.Duration
	skip          string // a folder that is not read
	cluster       clusterFlags
}

func (f *inputFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.values, "values", nil, "file with values for charts (repeatable, the later over the earlier)")
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "a value for charts, KEY=VALUE (repeatable, over --values)")
	cmd.Flags().StringVar(&f.release, "release", "", "release that charts are rendered for (default: release-name, as Helm has it)")
	cmd.Flags().BoolVar(&f.remote, "kustomize-remote", false, "let kustomizations have resources from the network")
	cmd.Flags().DurationVar(&f.renderTimeout, "render-timeout", renderTimeout, "how long one chart or kustomization may render")
}

// paths returns what a command line names: the current folder where it names
// neither a path nor a cluster.
func (f inputFlags) paths(args []string) ([]string, error) {
	if err := f.cluster.validate(); err != nil {
		return nil, err
	}
	if len(args) == 0 && !f.cluster.on {
		args = []string{"."}
	}
	return args, nil
}

// read reads every input of a command line. own are the kinds of the
// configuration, for a cluster.
func (f inputFlags) read(ctx context.Context, s console.Streams, paths []string, own []manifest.Kind) (manifest.Set, error) {
	if f.renderTimeout <= 0 {
		return manifest.Set{}, console.UsageError(errors.New("--render-timeout is not above zero"), "give a time such as 30s")
	}
	k := f.kube()
	line := console.NewProgress(s.Err)
	defer line.Done()
	reader := manifest.Reader{
		Limits: k.limits, Stdin: s.In, Render: k.unit, Skip: f.skip,
		Progress: func(done, all int) { line.Say("reading: %d of %d", done, all) },
	}
	set := reader.ReadAll(ctx, paths)
	if !f.cluster.on {
		return set, nil
	}
	line.Say("reading the cluster")
	batch, err := f.cluster.read(ctx, k, own)
	set.Objects = append(set.Objects, batch.Objects...)
	set.Errors = append(set.Errors, batch.Errors...)
	return set, err
}

// kube returns what renders by these flags.
func (f inputFlags) kube() kube {
	k := kube{limits: manifest.DefaultLimits(), timeout: f.renderTimeout, remote: f.remote}
	for _, v := range f.values {
		k.render = append(k.render, "--values="+v)
	}
	for _, v := range f.set {
		k.render = append(k.render, "--set="+v)
	}
	if f.release != "" {
		k.render = append(k.render, "--release="+f.release)
	}
	if f.remote {
		k.render = append(k.render, "--kustomize-remote")
	}
	return k
}
