package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

func newRulesTest(s console.Streams) *cobra.Command {
	var configPath string
	cmd := &cobra.Command{
		Use:   "test [PATH]...",
		Short: "Run the cases of own rules",
		Long: `test compiles own rules (files, or folders with *.yaml; those of bulkhead.yaml
where none is named) as the API server would, and runs the cases that stand
beside each of them: pods on which it fires, and where, and pods on which it
stays silent. A rule needs at least one of both.

Exit code: 0, 1 where a case has another outcome or is missing, 2 where a file
cannot be read or a rule does not compile.`,
		Example: `  bulkhead rules test
  bulkhead rules test policies/rules/ more.yaml`,
		RunE: func(_ *cobra.Command, args []string) error { return testRules(s, configPath, args) },
	}
	cmd.Flags().StringVar(&configPath, "config", "", "configuration file that names own rules (default: bulkhead.yaml here or in a parent folder)")
	return cmd
}

func testRules(s console.Streams, configPath string, paths []string) error {
	own, err := ownRules(configPath, paths)
	if err != nil {
		return err
	}
	builtin := rules.Builtin()
	all, err := builtin.With(own)
	if err != nil {
		return console.UsageError(err, "an own rule needs an id of its own; `bulkhead rules` lists those that are taken")
	}
	evaluator, err := rules.NewEvaluator(all)
	if err != nil {
		return console.UsageError(err, "correct the expression; docs/configuration.md says what it can use")
	}
	cases, failed := 0, 0
	for i := range all.Rules[len(builtin.Rules):] {
		r := &all.Rules[len(builtin.Rules)+i]
		if err := evaluator.CompileRule(r); err != nil {
			return console.UsageError(err, "correct the expression; docs/configuration.md says what it can use")
		}
		n, problems := runCases(evaluator, r)
		cases += n
		failed += len(problems)
		sayCases(s.Out, r, n, problems)
	}
	fmt.Fprintf(s.Out, "rules: %d, cases: %d, failed: %d\n", len(own.Rules), cases, failed)
	if failed > 0 {
		return console.Exit(fault.Findings)
	}
	return nil
}

// ownRules reads the rules at the paths, or those of the configuration.
func ownRules(configPath string, paths []string) (*rules.Catalogue, error) {
	const hint = "see docs/configuration.md for the form of own rules"
	if len(paths) == 0 {
		cfg, err := loadConfig(configPath, nil)
		if err != nil {
			return nil, err
		}
		if cfg.Own == nil {
			return nil, console.UsageError(fmt.Errorf("there are no own rules to test"), "name files of rules, or list them in bulkhead.yaml under ruleFiles")
		}
		return cfg.Own, nil
	}
	all := &rules.Catalogue{}
	for _, path := range paths {
		one, err := config.ReadRules(path)
		if err == nil {
			all, err = all.With(one)
		}
		if err != nil {
			return nil, console.UsageError(err, hint)
		}
	}
	return all, nil
}

// runCases returns how many cases a rule has, and what is wrong with them.
func runCases(e *rules.Evaluator, r *rules.Rule) (n int, problems []string) {
	for _, ex := range rules.Examples(r) {
		n++
		if problem := runCase(e, r, ex); problem != "" {
			problems = append(problems, ex.Name+": "+problem)
		}
	}
	if len(r.Cases.Fires) == 0 {
		problems = append(problems, "no case fires: add one to cases.fires")
	}
	if len(r.Cases.Silent) == 0 {
		problems = append(problems, "no case is silent: add a near miss to cases.silent")
	}
	return n, problems
}

// runCase says what is wrong with the outcome of a case, "" for nothing.
func runCase(e *rules.Evaluator, r *rules.Rule, ex rules.Example) string {
	matches, err := e.Pod(ex.Pod).Matches(r)
	if err != nil {
		return err.Error()
	}
	got := make([]string, len(matches))
	for i, m := range matches {
		got[i] = manifest.Path(m.Path).String()
	}
	slices.Sort(got)
	want := slices.Sorted(slices.Values(ex.At))
	anyWord := len(want) == 1 && want[0] == ""
	switch {
	case len(want) == 0 && len(got) > 0:
		return "it fires at " + strings.Join(got, ", ") + ", and has to be silent"
	case len(got) == 0 && len(want) > 0:
		return "it is silent, and has to fire"
	case anyWord && !strings.HasPrefix(got[0], "spec.containers[0].command"):
		return "it fires at " + strings.Join(got, ", ") + ", not at a word of the command"
	case !anyWord && !slices.Equal(got, want):
		return fmt.Sprintf("it fires at %s, not at %s", strings.Join(got, ", "), strings.Join(want, ", "))
	}
	return ""
}

func sayCases(w io.Writer, r *rules.Rule, n int, problems []string) {
	if len(problems) == 0 {
		fmt.Fprintf(w, "ok    %s (%d cases)\n", printable.Text(r.ID), n)
		return
	}
	fmt.Fprintf(w, "FAIL  %s\n", printable.Text(r.ID))
	for _, p := range problems {
		fmt.Fprintf(w, "      %s\n", printable.Text(p))
	}
}
