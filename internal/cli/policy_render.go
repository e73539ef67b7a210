package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// renderFlags are the flags of policy render.
type renderFlags struct {
	files      []string
	namespaces []string
	config     string
	static     string
}

func newPolicyRender(s console.Streams) *cobra.Command {
	var f renderFlags
	cmd := &cobra.Command{
		Use:   "render -f POLICY...",
		Short: "Print the cluster objects that put IsolationPolicies into force",
		Long: `render reads IsolationPolicies and prints what the API server enforces them by:
RuntimeClasses, admission policies with their bindings, and for each namespace
that is named a ServiceAccount without a token and NetworkPolicies. Nothing of
Bulkhead runs in the cluster for that. All policies of a cluster are rendered together:
the objects have the same names each time, and what is applied later replaces
what was there.

--static-manifests writes the admission policies to a folder instead, in the form
that an API server loads from its own disk (feature gate
ManifestBasedAdmissionControlConfig): nobody can change or delete them by a
request. Start it with --admission-control-config-file DIR/admission.yaml. A
BreakGlass does not count there.

The same input prints the same bytes, so the output belongs into version
control. The rules are the built-in ones; --config adds own ones and images.

Exit code: 0, or 2 where a policy is wrong: nothing is printed then, and every
mistake is said with its line and field.`,
		Example: `  bulkhead policy render -f policy.yaml
  bulkhead policy render -f policy.yaml | kubectl apply --server-side -f -
  bulkhead policy render -f policies/ > rendered.yaml
  bulkhead policy render -f policy.yaml --static-manifests /etc/kubernetes/bulkhead | kubectl apply --server-side -f -`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), s) },
	}
	cmd.Flags().StringArrayVarP(&f.files, "filename", "f", nil, "file or folder with IsolationPolicies, or - for standard input (repeatable)")
	cmd.Flags().StringArrayVarP(&f.namespaces, "namespace", "n", nil, "namespace that gets NetworkPolicies and a ServiceAccount without a token, beside those that policies name (repeatable)")
	cmd.Flags().StringVar(&f.static, "static-manifests", "", "folder, as the API server's host names it, that gets the admission policies")
	cmd.Flags().StringVar(&f.config, "config", "", "configuration with own rules and images (default: none)")
	return cmd
}

func (f renderFlags) run(ctx context.Context, s console.Streams) error {
	policies, err := readPolicies(ctx, s, f.files)
	if err != nil {
		return err
	}
	catalogue, err := policyRules(f.config)
	if err != nil {
		return err
	}
	objects, err := policy.Render(policy.Input{Policies: policies, Rules: catalogue, Namespaces: f.namespaces, Static: f.static != ""})
	if err != nil {
		return console.UsageError(fmt.Errorf("rendering the policies: %w", err), "the policies of a cluster are rendered together, and must not contradict each other")
	}
	if f.static != "" {
		if objects, err = saveStatic(f.static, objects); err != nil {
			return err
		}
	}
	text, err := policy.YAML(objects)
	if err == nil {
		_, err = s.Out.Write(text)
	}
	return fault.WithCode(err, fault.Usage)
}

// policyRules are the rules that policies are rendered with. The configuration
// has to be named: what is enforced must not depend on the current folder.
func policyRules(configPath string) (*rules.Catalogue, error) {
	if configPath == "" {
		return rules.Builtin(), nil
	}
	return rulesInForce(configPath)
}

// readPolicies reads IsolationPolicies and nothing else.
func readPolicies(ctx context.Context, s console.Streams, files []string) ([]*v1alpha1.IsolationPolicy, error) {
	if len(files) == 0 {
		return nil, console.UsageError(errors.New("no policy is named"), "name a file: `bulkhead policy render -f policy.yaml`")
	}
	reader := manifest.Reader{Limits: manifest.DefaultLimits(), Stdin: s.In}
	in := reader.ReadAll(ctx, files)
	errs := append(in.Errors, notObjects(in.Other)...)
	var out []*v1alpha1.IsolationPolicy
	for _, o := range in.Objects {
		if o.Kind != v1alpha1.IsolationPolicyKind {
			pos, _ := o.Position(manifest.Path{"kind"})
			errs = append(errs, &manifest.Error{File: o.File, Line: pos.Line, Column: pos.Column, Reason: fmt.Sprintf("%s is no %s", o.Kind, v1alpha1.IsolationPolicyKind), Hint: "policies stand in files of their own"})
			continue
		}
		p, wrong := v1alpha1.Read(o.Value)
		for _, err := range wrong {
			at, _ := manifest.ParsePath(err.Field)
			pos := nearest(o, at)
			errs = append(errs, &manifest.Error{File: o.File, Line: pos.Line, Column: pos.Column, Reason: err.Error(), Hint: "docs/policy.md explains each field"})
		}
		out = append(out, p)
	}
	if len(errs) > 0 {
		for _, e := range errs {
			complain(s.Err, e)
		}
		return nil, console.Exit(fault.Usage)
	}
	if len(out) == 0 {
		return nil, console.UsageError(errors.New("there is no IsolationPolicy in the input"), "deploy/policies/default.yaml is one to begin with")
	}
	return out, nil
}

// nearest is where the path stands in a file, or what it would stand in.
func nearest(o *manifest.Object, at manifest.Path) manifest.Position {
	for {
		if pos, ok := o.Position(at); ok || len(at) == 0 {
			return pos
		}
		at = at[:len(at)-1]
	}
}
