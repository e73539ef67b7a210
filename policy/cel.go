package policy

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// Names of what expressions share.
const (
	policiesVar = "variables.policies" // which policies of the set hold for the namespace
	classVar    = "variables.class"
)

func quote(s string) string { return strconv.Quote(s) }

func list(items []string) string { return "[" + strings.Join(items, ", ") + "]" }

func quoted[T ~string](items []T) string {
	out := make([]string, len(items))
	for i, s := range items {
		out[i] = quote(string(s))
	}
	return list(out)
}

// anyOf is true where one of the expressions is.
func anyOf(exprs []string) string { return joined(exprs, ") || (", "false") }

// allOf is true where all of the expressions are.
func allOf(exprs []string) string { return joined(exprs, ") && (", "true") }

func joined(exprs []string, operator, none string) string {
	switch len(exprs) {
	case 0:
		return none
	case 1:
		return exprs[0]
	}
	return "(" + strings.Join(exprs, operator) + ")"
}

// namespaceIn is true where the value of an expression is a name that one of
// the patterns matches.
func namespaceIn(expr string, patterns []v1alpha1.NamespacePattern) string {
	var names []v1alpha1.NamespacePattern
	var globs, terms []string
	for _, p := range patterns {
		if p.Exact() {
			names = append(names, p)
		} else {
			globs = append(globs, strings.ReplaceAll(regexp.QuoteMeta(string(p)), `\*`, ".*"))
		}
	}
	if len(names) > 0 {
		terms = append(terms, fmt.Sprintf("%s in %s", expr, quoted(names)))
	}
	if len(globs) > 0 {
		terms = append(terms, fmt.Sprintf("%s.matches(r'^(%s)$')", expr, strings.Join(globs, "|")))
	}
	return anyOf(terms)
}

// inScope is true where a policy holds for the namespace of an expression.
func inScope(expr string, n v1alpha1.Namespaces) string {
	exclude := append([]v1alpha1.NamespacePattern{v1alpha1.SystemNamespace}, n.Exclude...)
	out := "!(" + namespaceIn(expr, exclude) + ")"
	if len(n.Include) > 0 {
		out += " && (" + namespaceIn(expr, n.Include) + ")"
	}
	return out
}
