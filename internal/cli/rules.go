package cli

import (
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

func newRules(s console.Streams) *cobra.Command {
	var output, configPath string
	cmd := &cobra.Command{
		Use:   "rules [RULE]...",
		Short: "List the rules: what shows a risk class, and what a pod must have",
		Long: `rules lists the catalogue that check decides by. Of the rules that are named it
tells what each looks for, why, and the fix. With -o json a rule of scope pod
has the CEL expression that a ValidatingAdmissionPolicy can carry unchanged.
Own rules of bulkhead.yaml are among them, and what it switches off is not.

Exit code: 0, or 2 where no rule has a name that was given.`,
		Example: `  bulkhead rules
  bulkhead rules remote-interpreter read-only-root
  bulkhead rules -o json
  bulkhead rules -o markdown > rules.md`,
		ValidArgsFunction: completeRules,
		RunE:              func(_ *cobra.Command, args []string) error { return listRules(s, output, configPath, args) },
	}
	cmd.AddCommand(newRulesTest(s))
	cmd.Flags().StringVarP(&output, "output", "o", "table", "output format: table, json or markdown")
	cmd.Flags().StringVar(&configPath, "config", "", "configuration file (default: bulkhead.yaml here or in a parent folder)")
	console.Complete(cmd, "output", "table", "json", "markdown")
	return cmd
}

// completeRules offers the ids of the rules to the shell.
func completeRules(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	catalogue := rules.Builtin()
	ids := make([]cobra.Completion, len(catalogue.Rules))
	for i, r := range catalogue.Rules {
		ids[i] = cobra.CompletionWithDesc(r.ID, r.Title)
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// listRules writes the rules that are named, all where none is.
func listRules(s console.Streams, output, configPath string, ids []string) error {
	if err := console.OneOf("output", output, "table", "json", "markdown"); err != nil {
		return err
	}
	catalogue, err := rulesInForce(configPath)
	if err != nil {
		return err
	}
	named := make([]*rules.Rule, len(ids))
	for i, id := range ids {
		r, ok := catalogue.Rule(id)
		if !ok {
			return console.UsageError(fmt.Errorf("there is no rule %q", id), "`bulkhead rules` lists them")
		}
		named[i] = r
	}
	switch {
	case output == "json":
		err = writeRulesJSON(s, catalogue, named)
	case len(named) > 0:
		err = writeRuleSections(s, named)
	case output == "markdown":
		err = catalogue.WriteMarkdown(s.Out)
	default:
		err = writeRulesTable(s, catalogue)
	}
	if err != nil {
		return fault.WithCode(fmt.Errorf("writing the rules: %w", err), fault.Usage)
	}
	return nil
}

// rulesInForce is the catalogue as the configuration of the current folder has it.
func rulesInForce(configPath string) (*rules.Catalogue, error) {
	builtin := rules.Builtin()
	cfg, err := loadConfig(configPath, nil)
	if err != nil {
		return nil, err
	}
	catalogue, _, err := cfg.Catalogue(builtin)
	if err != nil {
		return nil, console.UsageError(err, "see docs/configuration.md for the form of bulkhead.yaml")
	}
	return catalogue, nil
}

// listedRule is a rule in JSON: also as the expression that admission would carry.
type listedRule struct {
	*rules.Rule
	Expression string `json:"expression,omitempty"`
}

func writeRulesJSON(s console.Streams, c *rules.Catalogue, named []*rules.Rule) error {
	if len(named) == 0 {
		for i := range c.Rules {
			named = append(named, &c.Rules[i])
		}
	}
	list := make([]listedRule, len(named))
	for i, r := range named {
		list[i] = listedRule{Rule: r}
		if r.Scope == rules.ScopePod {
			list[i].Expression = r.Expression()
		}
	}
	return report.WriteJSON(s.Out, map[string]any{"apiVersion": "bulkhead.dev/rules/v1", "variables": c.Variables, "rules": list})
}

func writeRuleSections(s console.Streams, named []*rules.Rule) error {
	for i, r := range named {
		if i > 0 {
			fmt.Fprintln(s.Out)
		}
		if err := r.WriteMarkdown(s.Out); err != nil {
			return err
		}
	}
	return nil
}

func writeRulesTable(s console.Streams, c *rules.Catalogue) error {
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RULE\tKIND\tSCOPE\tSAYS\tTITLE")
	for i := range c.Rules {
		r := &c.Rules[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", printable.Text(r.ID), r.Kind, r.Scope, r.Says(), printable.Text(r.Title))
	}
	return w.Flush()
}
