package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/bulkhead-dev/bulkhead/internal/admission"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// casesVersion is the apiVersion of a file of cases.
const casesVersion = "bulkhead.dev/cases/v1"

// maxCasesBytes is the largest file of cases that is read.
const maxCasesBytes = 4 << 20

// policyCases is a file of cases. Paths are relative to it.
type policyCases struct {
	APIVersion string       `yaml:"apiVersion"`
	Policies   []string     `yaml:"policies"`
	Cases      []policyCase `yaml:"cases"`
}

type policyCase struct {
	Name string `yaml:"name"`
	// Manifest is an object, File a file with objects; one of both is set.
	Manifest yaml.Node `yaml:"manifest"`
	// Old is the object of Manifest as it is before, where it is changed.
	Old             yaml.Node         `yaml:"old"`
	File            string            `yaml:"file"`
	Namespace       string            `yaml:"namespace"`
	NamespaceLabels map[string]string `yaml:"namespaceLabels"`
	Time            time.Time         `yaml:"time"`
	Expect          expectation       `yaml:"expect"`
}

type expectation struct {
	Verdict string `yaml:"verdict"`
	// Message is a part of what is said.
	Message string `yaml:"message"`
	// RuntimeClass is what the pod has in the end; "" for the node's default, nil
	// for any.
	RuntimeClass *string `yaml:"runtimeClass"`
}

// caseResult is what became of a case.
type caseResult struct {
	Name     string   `json:"name"`
	OK       bool     `json:"ok"`
	Problems []string `json:"problems"`
}

func newPolicyTest(s console.Streams) *cobra.Command {
	var file, output, configPath string
	cmd := &cobra.Command{
		Use:   "test -f CASES",
		Short: "Run cases of IsolationPolicies, without a cluster",
		Long: `test renders the IsolationPolicies that a file of cases names, and evaluates
what they render to as the API server does when an object is created or changed:
pods, what makes pods, and NetworkPolicies. Each case has an object, and what has
to become of it:

  verdict       allowed, warned or denied
  message       a part of what is said
  runtimeClass  what its pods have in the end; "" is the node's default

docs/policy.md explains the fields of a case, and what is not tried here.

Exit code: 0, 1 where a case has another outcome, 2 where a file cannot be read
or an object cannot be judged.`,
		Example: `  bulkhead policy test -f cases.yaml
  bulkhead policy test -f deploy/policies/cases.yaml -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := console.OneOf("output", output, "table", "json"); err != nil {
				return err
			}
			return testPolicies(cmd.Context(), s, file, output, configPath)
		},
	}
	cmd.Flags().StringVarP(&file, "filename", "f", "", "file of cases")
	cmd.Flags().StringVarP(&output, "output", "o", "table", "output format: table or json")
	cmd.Flags().StringVar(&configPath, "config", "", "configuration with own rules and images (default: none)")
	console.Complete(cmd, "output", "table", "json")
	return cmd
}

func testPolicies(ctx context.Context, s console.Streams, file, output, configPath string) error {
	cases, err := readCases(file)
	if err != nil {
		return console.UsageError(err, "docs/policy.md has the form of a file of cases")
	}
	server, err := caseServer(ctx, s, filepath.Dir(file), cases, configPath)
	if err != nil {
		return err
	}
	results := []caseResult{}
	failed := 0
	for i := range cases.Cases {
		c := &cases.Cases[i]
		problems, err := c.run(ctx, server, filepath.Dir(file))
		if err != nil {
			return console.UsageError(fmt.Errorf("%s: case %q: %w", file, c.Name, err), "docs/policy.md says what a case can try")
		}
		if len(problems) > 0 {
			failed++
		}
		results = append(results, caseResult{c.Name, len(problems) == 0, append([]string{}, problems...)})
	}
	if output == "json" {
		err = report.WriteJSON(s.Out, struct {
			Cases  []caseResult `json:"cases"`
			Failed int          `json:"failed"`
		}{results, failed})
	} else {
		err = writeCases(s.Out, results, failed)
	}
	switch {
	case err != nil:
		return fault.WithCode(fmt.Errorf("writing the outcome: %w", err), fault.Usage)
	case failed > 0:
		return console.Exit(fault.Findings)
	}
	return nil
}

func writeCases(w io.Writer, results []caseResult, failed int) error {
	var b strings.Builder
	for _, r := range results {
		word := "ok  "
		if !r.OK {
			word = "FAIL"
		}
		fmt.Fprintf(&b, "%s  %s\n", word, printable.Text(r.Name))
		for _, p := range r.Problems {
			fmt.Fprintf(&b, "      %s\n", printable.Text(p))
		}
	}
	fmt.Fprintf(&b, "cases: %d, failed: %d\n", len(results), failed)
	_, err := io.WriteString(w, b.String())
	return err
}

// caseServer is an API server with the policies of a file of cases.
func caseServer(ctx context.Context, s console.Streams, dir string, cases *policyCases, configPath string) (*admission.Server, error) {
	paths := make([]string, len(cases.Policies))
	for i, p := range cases.Policies {
		paths[i] = beside(dir, p)
	}
	policies, err := readPolicies(ctx, s, paths)
	if err != nil {
		return nil, err
	}
	catalogue, err := policyRules(configPath)
	if err != nil {
		return nil, err
	}
	objects, err := policy.Render(policy.Input{Policies: policies, Rules: catalogue})
	if err != nil {
		return nil, console.UsageError(fmt.Errorf("rendering the policies: %w", err), "the policies of a cluster are rendered together, and must not contradict each other")
	}
	return admission.New(objects)
}

func beside(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// readCases reads a file of cases, strictly.
func readCases(file string) (c *policyCases, err error) {
	if file == "" {
		return nil, errors.New("no file of cases is named")
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCasesBytes+1))
	if err == nil && len(text) > maxCasesBytes {
		err = fmt.Errorf("it is larger than %d bytes", maxCasesBytes)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	defer func() { // the parser panics on some hostile input
		if p := recover(); p != nil {
			c, err = nil, fmt.Errorf("%s: the YAML parser gave up: %v", file, p)
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	c = &policyCases{}
	if err := dec.Decode(c); err != nil {
		return nil, fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: a second document: it would not be read", file)
	}
	if c.APIVersion != casesVersion {
		return nil, fmt.Errorf("%s: apiVersion is %q, not %s", file, c.APIVersion, casesVersion)
	}
	if len(c.Policies) == 0 || len(c.Cases) == 0 {
		return nil, fmt.Errorf("%s: it needs policies and cases", file)
	}
	for i, one := range c.Cases {
		switch {
		case one.Name == "":
			return nil, fmt.Errorf("%s: cases[%d] has no name", file, i)
		case one.Manifest.IsZero() == (one.File == ""):
			return nil, fmt.Errorf("%s: case %q needs a manifest or a file, and not both", file, one.Name)
		case !one.Old.IsZero() && one.Manifest.IsZero():
			return nil, fmt.Errorf("%s: case %q: old goes with a manifest", file, one.Name)
		case !slices.Contains([]string{"allowed", "warned", "denied"}, one.Expect.Verdict):
			return nil, fmt.Errorf("%s: case %q: expect.verdict is %q, and has to be allowed, warned or denied", file, one.Name, one.Expect.Verdict)
		case one.Expect.Verdict == "denied" && one.Expect.RuntimeClass != nil:
			return nil, fmt.Errorf("%s: case %q: what is denied has no expect.runtimeClass", file, one.Name)
		}
	}
	return c, nil
}

// run returns what is not as expected.
func (c *policyCase) run(ctx context.Context, server *admission.Server, dir string) (problems []string, err error) {
	objects, err := c.objects(ctx, dir)
	if err != nil {
		return nil, err
	}
	var old map[string]any
	if !c.Old.IsZero() {
		before, err := parsed(ctx, &c.Old)
		if err != nil {
			return nil, fmt.Errorf("old: %w", err)
		}
		if len(before) != 1 || len(objects) != 1 {
			return nil, errors.New("old: one object is changed at a time")
		}
		old = before[0].Whole().Value
	}
	if c.Time.IsZero() {
		c.Time = time.Now()
	}
	judged := 0
	for _, o := range objects {
		v, err := server.Admit(admission.Request{Object: o.Whole().Value, Old: old, Namespace: c.namespace(o), NamespaceLabels: c.NamespaceLabels, Time: c.Time})
		if c.File != "" && (errors.Is(err, admission.ErrKind) || o.Kind == "NetworkPolicy") {
			continue // beside a Deployment, whose case it is
		}
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", o.Kind, o.Name, err)
		}
		judged++
		for _, p := range c.Expect.compare(v) {
			problems = append(problems, o.Kind+"/"+o.Name+" "+p)
		}
	}
	if judged == 0 {
		return nil, fmt.Errorf("%s: %w", c.File, admission.ErrKind)
	}
	return problems, nil
}

func (c *policyCase) namespace(o *manifest.Object) string {
	for _, name := range []string{c.Namespace, o.Namespace} {
		if name != "" {
			return name
		}
	}
	return "default"
}

// objects are those of the case.
func (c *policyCase) objects(ctx context.Context, dir string) ([]*manifest.Object, error) {
	if c.File == "" {
		return parsed(ctx, &c.Manifest)
	}
	return caseObjects(manifest.Reader{Limits: manifest.DefaultLimits()}.ReadAll(ctx, []string{beside(dir, c.File)}))
}

// parsed reads what a case says as all manifests are read.
func parsed(ctx context.Context, node *yaml.Node) ([]*manifest.Object, error) {
	text, err := yaml.Marshal(node)
	if err != nil {
		return nil, err
	}
	return caseObjects(manifest.Reader{Limits: manifest.DefaultLimits(), Stdin: bytes.NewReader(text)}.ReadAll(ctx, []string{"-"}))
}

func caseObjects(in manifest.Set) ([]*manifest.Object, error) {
	if errs := append(in.Errors, notObjects(in.Other)...); len(errs) > 0 {
		return nil, errs[0]
	}
	return in.Objects, nil
}

// compare says what a verdict has other than what is expected.
func (e expectation) compare(v admission.Verdict) (problems []string) {
	verdict, said := "allowed", v.Audited
	switch {
	case len(v.Denied) > 0:
		verdict, said = "denied", v.Denied
	case len(v.Warned) > 0:
		verdict, said = "warned", v.Warned
	}
	if verdict != e.Verdict {
		problem := fmt.Sprintf("is %s, not %s", verdict, e.Verdict)
		if len(said) > 0 {
			problem += ": " + strings.Join(said, "; ")
		}
		return []string{problem}
	}
	if e.Message != "" && !strings.Contains(strings.Join(said, "\n"), e.Message) {
		problems = append(problems, fmt.Sprintf("is %s without %q: %s", verdict, e.Message, strings.Join(said, "; ")))
	}
	if e.RuntimeClass != nil && *e.RuntimeClass != v.RuntimeClass {
		problems = append(problems, fmt.Sprintf("has RuntimeClass %q, not %q", v.RuntimeClass, *e.RuntimeClass))
	}
	return problems
}
