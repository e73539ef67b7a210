package rules

import "strings"

// Bounds of what one expression of Any matches a text with, in characters: the
// API server prices a match by the product of text and pattern, and the texts of
// a pod that is not oversized are up to 16 KiB of images and 32 KiB each of
// command lines and names of variables.
const (
	maxImagePattern = 1800
	maxLinePattern  = 1000
	maxPredicates   = 1500
)

// Any renders rules of scope pod to boolean expressions over object and
// variables: on a pod that is not oversized, one of them is true exactly where
// one of the rules fires. The patterns of all rules are matched together, in as
// few expressions as keep within what the API server gives one; so they cost far
// less than the rules' own, and do not say which rule it was.
func Any(rs []*Rule) []string {
	var images, lines, names, terms []string
	for _, r := range rs {
		if r.Large {
			continue // about oversized pods
		}
		if r.If != "" {
			terms = append(terms, r.judged())
			continue
		}
		rest := Rule{}
		for _, a := range r.Any {
			switch {
			case len(a.Image) > 0:
				images = append(images, a.Image...)
			case len(a.Command) > 0:
				lines = append(lines, a.Command...)
			case len(a.Env) > 0:
				names = append(names, a.Env...)
			default:
				rest.Any = append(rest.Any, a)
			}
		}
		if len(rest.Any) > 0 {
			terms = append(terms, rest.judged())
		}
	}
	var out []string
	for _, group := range inGroups(images, maxImagePattern) {
		out = append(out, (&Rule{Any: []Alternative{{Image: group}}}).judged())
	}
	for _, group := range inGroups(names, maxLinePattern) {
		out = append(out, (&Rule{Any: []Alternative{{Env: group}}}).judged())
	}
	for _, group := range inGroups(lines, maxLinePattern) {
		out = append(out, (&Rule{Any: []Alternative{{Command: group}}}).judged())
	}
	for _, group := range inGroups(terms, maxPredicates) {
		out = append(out, strings.Join(group, " || "))
	}
	return out
}

// inGroups splits a list, in its order, so that each group has at most that many
// characters; an entry that is longer is alone.
func inGroups(list []string, most int) [][]string {
	var out [][]string
	size := most
	for _, s := range list {
		if size+len(s) > most {
			out, size = append(out, nil), 0
		}
		size += len(s) + len(")|(")
		out[len(out)-1] = append(out[len(out)-1], s)
	}
	return out
}
