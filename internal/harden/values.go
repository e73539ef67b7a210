package harden

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// ErrBudget ends a search for values before all were tried.
var ErrBudget = errors.New("the budget for rendering is used up")

// ErrRefused says that the chart refuses values, by its schema. What it would render
// to is there all the same.
var ErrRefused = errors.New("refused")

// Search finds values of a chart that make wanted changes and nothing else, by
// trying: what a template does with a value shows when it is rendered.
type Search struct {
	// Render renders the chart with more values. ErrBudget ends the search, with what
	// was found; on another error the values are not taken. With ErrRefused come the
	// objects all the same.
	Render func(values map[string]any) ([]*manifest.Object, error)
	// Keys are the keys of the chart's values. A mapping is one of them; of all else
	// only the kind is known: "list", "empty" (a list without entries) or "scalar".
	Keys map[string]any

	// Refused are values that would have been taken, each with why it was not.
	Refused []Refused

	wanted  map[string]string
	stable  map[string]bool // names of objects that are the same in each rendering
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

// Refused is a value that the chart refuses; Reaches is what it alone would.
type Refused struct {
	Value
	effect map[string]string
	Err    error
}

// Run returns the values; all is false where the budget ended first. before is the
// chart as it renders, plans are what is wanted of it. Where its schema refuses the
// values that it has, with ErrRefused, none is tried.
func (s *Search) Run(before []*manifest.Object, plans []Plan) (found []Value, all bool, err error) {
	s.base, s.noise, s.wanted, s.all = flatten(before), map[string]bool{}, map[string]string{}, true
	again, refused := s.Render(nil)
	if refused != nil && !errors.Is(refused, ErrRefused) {
		return nil, false, refused
	}
	for key := range between(s.base, flatten(again)) {
		s.noise[key] = true // it renders otherwise each time
	}
	s.stable = map[string]bool{}
	for _, o := range again {
		s.stable[label(o)] = true
	}
	if refused != nil {
		return nil, true, refused
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
	got, _ := s.try(s.chosen)
	for i := range s.Refused {
		r := &s.Refused[i]
		maps.DeleteFunc(r.effect, func(key, _ string) bool { return got[key] != "" })
		r.Reaches = places(r.effect)
	}
	s.Refused = slices.DeleteFunc(s.Refused, func(r Refused) bool { return len(r.effect) == 0 })
	return s.chosen, s.all, nil
}

// Stable reports whether an object has the same name in each rendering: no patch
// finds another one.
func (s *Search) Stable(o *manifest.Object) bool { return s.stable[label(o)] }

// take tries values together, and by halves where that does more than is wanted.
func (s *Search) take(values []Value) {
	if len(values) == 0 || !s.all {
		return
	}
	now, err := s.effect(append(slices.Clone(s.chosen), values...))
	switch {
	case err != nil && len(values) > 1:
		s.take(values[:len(values)/2])
		s.take(values[len(values)/2:])
	case errors.Is(err, ErrRefused):
		s.Refused = append(s.Refused, Refused{values[0], now, err})
	case err == nil && len(now) > s.changes:
		s.chosen, s.changes = append(s.chosen, values...), len(now)
	}
}

// try returns what values change, and whether they may be taken.
func (s *Search) try(values []Value) (map[string]string, bool) {
	out, err := s.effect(values)
	return out, err == nil
}

var errUnwanted = errors.New("it changes more than is wanted")

// effect returns what values change. An error says that they may not be taken;
// ErrRefused that all that they change is wanted.
func (s *Search) effect(values []Value) (map[string]string, error) {
	if len(values) == 0 {
		return nil, nil
	}
	objects, err := s.Render(Tree(values))
	if err != nil && !errors.Is(err, ErrRefused) {
		s.all = s.all && !errors.Is(err, ErrBudget)
		return nil, err
	}
	out := between(s.base, flatten(objects))
	for key, value := range out {
		switch {
		case s.noise[key]:
			delete(out, key)
		case !s.want(key, value):
			return out, errUnwanted
		}
	}
	return out, err
}

// want reports whether an effect is wanted: as it was planned, or said for each
// container where it was planned for the pod.
func (s *Search) want(key, value string) bool {
	if want, ok := s.wanted[key]; ok {
		return want == value
	}
	if object, field, _ := strings.Cut(key, "\x00"); strings.HasPrefix(object, accountKind) {
		return s.wantAccount(object, field, value)
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
	return places(out)
}

// places are the leaves that values reach, as people name them.
func places(effect map[string]string) []string {
	var names []string
	for _, key := range sorted(effect) {
		name, field, _ := strings.Cut(key, "\x00")
		names = append(names, name+": "+strings.TrimPrefix(field, "."))
	}
	return names
}

// together takes a read-only root out again where the folders to write cannot be
// mounted by values: a program must not be left without them. So with the name of
// an account that no value makes.
func (s *Search) together() {
	got, _ := s.try(s.chosen)
	without := s.withoutAccounts(got)
	split := map[string]bool{}
	for key := range s.wanted {
		if name, _, _ := strings.Cut(key, "\x00"); ofReadOnly(key) && got[key] == "" {
			split[name] = true
		}
	}
	s.chosen = slices.DeleteFunc(s.chosen, func(v Value) bool {
		one, _ := s.try([]Value{v})
		for key := range one {
			if without[key] {
				return true
			}
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
	keys, mapping := kind.(map[string]any)
	open := mapping || kind == "scalar" || kind == "absent"
	switch {
	case strings.Contains(key, "securitycontext") && open:
		return s.below(at, ".securityContext.")
	case key == "resources" && open:
		return s.below(at, ".resources.")
	case strings.HasPrefix(key, "runtimeclass") && !mapping:
		return s.whole(at, ".runtimeClassName")
	case strings.HasPrefix(key, "automount") && !mapping:
		return s.whole(at, tokenField)
	case strings.Contains(key, "serviceaccount") && mapping:
		return s.ofAccount(at, keys)
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
