package harden

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// ErrBudget ends a search for values before all were tried.
var ErrBudget = errors.New("the budget for rendering is used up")

// Search finds values of a chart that make wanted changes and nothing else, by
// trying: what a template does with a value shows when it is rendered.
type Search struct {
	// Render renders the chart with more values. ErrBudget ends the search, with what
	// was found; on another error the values are not taken.
	Render func(values map[string]any) ([]*manifest.Object, error)
	// Keys are the keys of the chart's values. A mapping is one of them; of all else
	// only the kind is known: "list", "empty" (a list without entries) or "scalar".
	Keys map[string]any

	wanted  map[string]string
	base    map[string]string
	noise   map[string]bool
	chosen  []Value
	changes int  // that they make
	all     bool // every value was tried
}

// Value is one value of a chart, and what it reaches.
type Value struct {
	Path    manifest.Path
	Value   any
	Reaches []string
}

// Run returns the values; all is false where the budget ended first. before is the
// chart as it renders, plans are what is wanted of it.
func (s *Search) Run(before []*manifest.Object, plans []Plan) (found []Value, all bool, err error) {
	s.base, s.noise, s.wanted, s.all = flatten(before), map[string]bool{}, map[string]string{}, true
	again, err := s.Render(nil)
	if err != nil {
		return nil, false, err
	}
	for key := range between(s.base, flatten(again)) {
		s.noise[key] = true // it renders otherwise each time
	}
	for _, p := range plans {
		if p.Kept != "" {
			continue
		}
		o, err := p.Edited()
		if err != nil {
			return nil, false, err
		}
		maps.Copy(s.wanted, between(flatten([]*manifest.Object{p.Decision.Workload.Object}), flatten([]*manifest.Object{o})))
	}
	s.take(s.candidates())
	s.together()
	s.prune()
	for i := range s.chosen {
		s.chosen[i].Reaches = s.reached([]Value{s.chosen[i]})
	}
	return s.chosen, s.all, nil
}

// take tries values together, and by halves where that does more than is wanted.
func (s *Search) take(values []Value) {
	if len(values) == 0 || !s.all {
		return
	}
	now, ok := s.try(append(slices.Clone(s.chosen), values...))
	switch {
	case !ok && len(values) > 1:
		s.take(values[:len(values)/2])
		s.take(values[len(values)/2:])
	case ok && len(now) > s.changes:
		s.chosen, s.changes = append(s.chosen, values...), len(now)
	}
}

// try returns what values change, and whether that is wanted all through.
func (s *Search) try(values []Value) (map[string]string, bool) {
	if len(values) == 0 {
		return nil, true
	}
	objects, err := s.Render(Tree(values))
	if err != nil {
		s.all = s.all && !errors.Is(err, ErrBudget)
		return nil, false
	}
	out := between(s.base, flatten(objects))
	for key, value := range out {
		switch {
		case s.noise[key]:
			delete(out, key)
		case !s.want(key, value):
			return out, false
		}
	}
	return out, true
}

// want reports whether an effect is wanted: as it was planned, or said for each
// container where it was planned for the pod.
func (s *Search) want(key, value string) bool {
	if want, ok := s.wanted[key]; ok {
		return want == value
	}
	for _, list := range []string{".containers[", ".initContainers["} {
		before, after, ok := strings.Cut(key, list)
		_, field, inside := strings.Cut(after, "].securityContext.")
		if want, planned := s.wanted[before+".securityContext."+field]; ok && inside && planned && want == value {
			return true
		}
	}
	return false
}

func (s *Search) reached(values []Value) []string {
	out, _ := s.try(values)
	var names []string
	for _, key := range sorted(out) {
		name, field, _ := strings.Cut(key, "\x00")
		names = append(names, name+": "+strings.TrimPrefix(field, "."))
	}
	return names
}

// together takes a read-only root out again where the folders to write cannot be
// mounted by values: a program must not be left without them.
func (s *Search) together() {
	got, _ := s.try(s.chosen)
	split := map[string]bool{}
	for key := range s.wanted {
		if name, _, _ := strings.Cut(key, "\x00"); ofReadOnly(key) && got[key] == "" {
			split[name] = true
		}
	}
	s.chosen = slices.DeleteFunc(s.chosen, func(v Value) bool {
		one, _ := s.try([]Value{v})
		for key := range one {
			if name, _, _ := strings.Cut(key, "\x00"); split[name] && ofReadOnly(key) {
				return true
			}
		}
		return false
	})
}

func ofReadOnly(key string) bool {
	for _, part := range []string{".readOnlyRootFilesystem", ".volumes[", ".volumeMounts[", ".env["} {
		if strings.Contains(key, part) {
			return true
		}
	}
	return false
}

// prune drops values that change nothing beside the others.
func (s *Search) prune() {
	all, _ := s.try(s.chosen)
	for i := 0; i < len(s.chosen); {
		rest := slices.Delete(slices.Clone(s.chosen), i, i+1)
		if less, ok := s.try(rest); ok && len(less) == len(all) {
			s.chosen = rest
			continue
		}
		i++
	}
}

// The walk through the keys of a chart, which are foreign.
const (
	deepestKey    = 8
	maxCandidates = 600
)

func (s *Search) candidates() []Value {
	var out []Value
	var walk func(at manifest.Path, keys map[string]any)
	walk = func(at manifest.Path, keys map[string]any) {
		here := maps.Clone(keys)
		if len(at) == 0 || about(keys) {
			for _, name := range []string{"runtimeClassName", "automountServiceAccountToken", "podSecurityContext", "securityContext", "containerSecurityContext", "extraVolumes", "extraVolumeMounts"} {
				if _, there := here[name]; !there {
					here[name] = "absent"
				}
			}
		}
		for _, key := range sorted(here) {
			next := at.Join(key)
			if len(out) < maxCandidates {
				out = append(out, s.ofKey(next, strings.ToLower(key), here[key])...)
			}
			if m, ok := here[key].(map[string]any); ok && len(next) < deepestKey {
				walk(next, m)
			}
		}
	}
	walk(manifest.Path{}, s.Keys)
	return out
}

// about reports whether keys are those of a workload or container.
func about(keys map[string]any) bool {
	for key := range keys {
		if key == "image" || key == "resources" || strings.Contains(strings.ToLower(key), "securitycontext") {
			return true
		}
	}
	return false
}

// ofKey returns what to try for one key, by its name.
func (s *Search) ofKey(at manifest.Path, key string, kind any) []Value {
	_, mapping := kind.(map[string]any)
	open := mapping || kind == "scalar" || kind == "absent"
	switch {
	case strings.Contains(key, "securitycontext") && open:
		return s.below(at, ".securityContext.")
	case key == "resources" && open:
		return s.below(at, ".resources.")
	case strings.HasPrefix(key, "runtimeclass") && !mapping:
		return s.whole(at, ".runtimeClassName")
	case strings.HasPrefix(key, "automount") && !mapping:
		return s.whole(at, ".automountServiceAccountToken")
	case strings.Contains(key, "volumemounts") && (kind == "empty" || kind == "absent"):
		return s.entries(at, ".volumeMounts[")
	case strings.Contains(key, "volumes") && (kind == "empty" || kind == "absent"):
		return s.entries(at, ".volumes[")
	}
	return nil
}

// below are the wanted fields below one of that name, below the key.
func (s *Search) below(at manifest.Path, field string) []Value {
	var out []Value
	for _, key := range sorted(s.wanted) {
		_, rest, ok := strings.Cut(key, field)
		if v := decoded(s.wanted[key]); ok && v != nil && !strings.ContainsAny(rest, "[{") {
			path := at
			for part := range strings.SplitSeq(rest, ".") {
				path = path.Join(part)
			}
			out = add(out, Value{Path: path, Value: v})
		}
	}
	return out
}

func (s *Search) whole(at manifest.Path, field string) []Value {
	var out []Value
	for _, key := range sorted(s.wanted) {
		if v := decoded(s.wanted[key]); strings.HasSuffix(key, field) && v != nil {
			out = add(out, Value{Path: at, Value: v})
		}
	}
	return out
}

// entries are the wanted entries of a list, of each list that is wanted.
func (s *Search) entries(at manifest.Path, field string) []Value {
	lists := map[string][]any{}
	for _, key := range sorted(s.wanted) {
		before, rest, ok := strings.Cut(key, field)
		name, ok2 := strings.CutSuffix(rest, "].name")
		if !ok || !ok2 {
			continue
		}
		entry := map[string]any{"name": decoded(s.wanted[key])}
		if field == ".volumes[" {
			entry["emptyDir"] = map[string]any{}
		} else {
			entry["mountPath"] = name
		}
		lists[before] = append(lists[before], entry)
	}
	var out []Value
	for _, key := range sorted(lists) {
		out = add(out, Value{Path: at, Value: lists[key]})
	}
	return out
}

func add(values []Value, v Value) []Value {
	same := func(o Value) bool { return fmt.Sprint(o.Path, o.Value) == fmt.Sprint(v.Path, v.Value) }
	if slices.ContainsFunc(values, same) {
		return values
	}
	return append(values, v)
}

func decoded(text string) any {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		return nil
	}
	return v
}

// Tree returns values as a chart takes them.
func Tree(values []Value) map[string]any {
	var root any
	for _, v := range values {
		root = planted(root, v.Path, v.Value)
	}
	m, _ := root.(map[string]any)
	return m
}

func planted(root any, path manifest.Path, value any) any {
	if len(path) == 0 {
		return value
	}
	m, _ := root.(map[string]any)
	if m = maps.Clone(m); m == nil {
		m = map[string]any{}
	}
	key, _ := path[0].(string)
	m[key] = planted(m[key], path[1:], value)
	return m
}

// ValuesFile writes values as a file for a chart, each with what it reaches.
func ValuesFile(said []string, values []Value) ([]byte, error) {
	root := &yaml.Node{}
	if err := root.Encode(Tree(values)); err != nil {
		return nil, err
	}
	for _, v := range values {
		node, key := root, root
		for _, seg := range v.Path {
			for i := 0; i+1 < len(node.Content); i += 2 {
				if node.Content[i].Value == seg {
					key, node = node.Content[i], node.Content[i+1]
					break
				}
			}
		}
		for _, r := range v.Reaches {
			key.HeadComment = strings.TrimSpace(key.HeadComment + "\n" + report.Plain(r))
		}
	}
	body, err := encode(root)
	if err != nil {
		return nil, err
	}
	var head strings.Builder
	for _, line := range said {
		head.WriteString("# " + report.Plain(line) + "\n")
	}
	return Mark(append([]byte(head.String()), body...)), nil
}
