// Command alerts reads Prometheus alerting rules from the file RULES with
// Prometheus's own parsers, and says which of their selectors select no series of
// the METRICS, what an exporter answered. It exits with 1 where there is one, or
// where something cannot be read. It has a module of its own: Prometheus would have the
// API server of test/cluster built with other dependencies than it is released with.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/model/textparse"
	"github.com/prometheus/prometheus/promql/parser"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: alerts RULES METRICS")
		os.Exit(2)
	}
	if err := check(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(rulesFile, metricsFile string) error {
	text, err := os.ReadFile(metricsFile)
	if err != nil {
		return err
	}
	series, err := read(text)
	if err != nil {
		return fmt.Errorf("%s: %w", metricsFile, err)
	}
	promql := parser.NewParser(parser.Options{})
	groups, errs := rulefmt.ParseFile(rulesFile, false, model.UTF8Validation, promql, slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	var empty []error
	alerts := 0
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			alerts++
			expr, err := promql.ParseExpr(r.Expr)
			if err != nil {
				return err
			}
			for _, selector := range parser.ExtractSelectors(expr) {
				if !selects(selector, series) {
					empty = append(empty, fmt.Errorf("%s: no series for %v", r.Alert, selector))
				}
			}
		}
	}
	if alerts == 0 {
		return errors.New("there are no rules")
	}
	return errors.Join(empty...)
}

// read returns the labels of every series.
func read(text []byte) ([]labels.Labels, error) {
	p, err := textparse.New(bytes.TrimLeft(text, "\n"), "text/plain", labels.NewSymbolTable(), textparse.ParserOptions{})
	if err != nil {
		return nil, err
	}
	var out []labels.Labels
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		if entry == textparse.EntrySeries {
			var l labels.Labels
			p.Labels(&l)
			out = append(out, l)
		}
	}
}

func selects(selector []*labels.Matcher, series []labels.Labels) bool {
next:
	for _, l := range series {
		for _, m := range selector {
			if !m.Matches(l.Get(m.Name)) {
				continue next
			}
		}
		return true
	}
	return false
}
