package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bulkhead-dev/bulkhead/risk"
)

// Kind says where a kind of workload has its pods written. It is data: the
// built-in kinds are in kinds.yaml, a user's own in the configuration. Paths are
// as in ParsePath, from the object; `[*]` goes through a list.
type Kind struct {
	Group string `yaml:"group"` // "" is the core group
	Kind  string `yaml:"kind"`
	// Class is what the kind is for, whatever its pods show; none where the kind
	// does not tell. Why says it in a sentence.
	Class risk.Class `yaml:"class"`
	Why   string     `yaml:"why"`
	// Pods are the places of pods. An object may have each of them, or none.
	Pods []Pod `yaml:"pods"`
	// Signs are fields that show more than Class.
	Signs []Sign `yaml:"signs"`
	// References name objects of whose pods it makes more: a pool names a template.
	References []Reference `yaml:"references"`
}

// Pod is one place of a pod. Most kinds hold a whole template with `metadata`
// and `spec`, and need At alone. In others the parts stand apart: then Spec is
// set, and whatever stands in those places and is no field of a pod belongs to
// the kind. Paths are relative to At; those that begin with "/" to the object,
// and "." is At itself.
type Pod struct {
	// Role tells several pods of one object apart (leader, worker).
	Role string `yaml:"role"`
	At   string `yaml:"at"`
	// Spec are the places with fields of the pod's spec. Of two that have a field
	// the first counts; lists are joined.
	Spec []string `yaml:"spec"`
	// Omit are fields there that have the name of a pod's field and another form.
	Omit []string `yaml:"omit"`
	// Metadata is the place with labels and annotations, where Spec is set.
	Metadata string `yaml:"metadata"`
	// Containers are containers that stand outside of a list `containers`.
	Containers []Container `yaml:"containers"`
	// Args are texts, or lists of them, that run in the first container: rules
	// see them at the end of its args.
	Args []string `yaml:"args"`
}

// Container is the place of one container, or of something that becomes one.
type Container struct {
	At   string `yaml:"at"`
	Name string `yaml:"name"` // where the place has none
	// Rename gives fields that are called otherwise their names in a container.
	Rename map[string]string `yaml:"rename"`
	// Args are fields of the kind that end up on the command line, by their path,
	// with what goes before the value: {storageUri: --model-uri=}.
	Args map[string]string `yaml:"args"`
}

// Sign is a field of the object that shows a class where it is set, and not
// false or empty.
type Sign struct {
	At    string     `yaml:"at"`
	Class risk.Class `yaml:"class"`
	Why   string     `yaml:"why"`
}

// Reference names another object, by the path of its name.
type Reference struct {
	Group   string `yaml:"group"` // "" is the group of the kind that refers
	Kind    string `yaml:"kind"`
	Name    string `yaml:"name"`
	Cluster bool   `yaml:"cluster"` // it is in no namespace
}

//go:generate go test -run TestGenerated -update .

// ParseKinds reads kinds in the form of kinds.yaml. Fields that are not known
// and paths that cannot be read are errors.
func ParseKinds(text []byte) ([]Kind, error) {
	var file struct {
		Kinds []Kind `yaml:"kinds"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("reading kinds: %w", err)
	}
	for _, k := range file.Kinds {
		if err := k.Validate(); err != nil {
			return nil, err
		}
	}
	return file.Kinds, nil
}

// Validate says what is wrong with a kind.
func (k Kind) Validate() error {
	_, err := compile(k)
	if err != nil {
		return fmt.Errorf("kind %s: %w", k, err)
	}
	return nil
}

// String returns group/kind.
func (k Kind) String() string { return strings.TrimPrefix(k.Group+"/"+k.Kind, "/") }

// Scheme finds the pods of an object by its kind. It is immutable.
type Scheme struct {
	kinds map[[2]string]*kind // by group and kind
	types *typeChecker
}

// NewScheme returns a scheme of the built-in kinds and a user's own. Of two with
// the same group and kind the later wins, and a user's own over the built-in.
func NewScheme(own ...Kind) (*Scheme, error) {
	kinds := builtinKinds() // generated from kinds.yaml
	s := &Scheme{kinds: make(map[[2]string]*kind, len(kinds)+len(own)), types: newTypeChecker()}
	for _, k := range append(kinds, own...) {
		compiled, err := compile(k)
		if err != nil {
			return nil, fmt.Errorf("kind %s: %w", k, err)
		}
		s.kinds[[2]string{k.Group, k.Kind}] = compiled
	}
	return s, nil
}

// Kinds returns the kinds of the scheme, by group and kind.
func (s *Scheme) Kinds() []Kind {
	out := make([]Kind, 0, len(s.kinds))
	for _, k := range s.kinds {
		out = append(out, k.Kind)
	}
	slices.SortFunc(out, func(a, b Kind) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// kind is a Kind whose paths are parsed.
type kind struct {
	Kind
	pods       []pod
	signs      []pattern
	references []pattern // of the names
}

type pod struct {
	Pod
	at         pattern
	spec       []place
	metadata   place
	containers []container
	args       []place
}

type container struct {
	Container
	at   place
	args []argument // in the order of their paths
}

type argument struct {
	at     pattern
	prefix string
}

func compile(k Kind) (*kind, error) {
	c := compiler{}
	out := &kind{Kind: k}
	if k.Kind == "" {
		c.fail(errors.New("kind is missing"))
	}
	if k.Class != risk.None && k.Why == "" {
		c.fail(errors.New("class needs a why"))
	}
	for _, p := range k.Pods {
		out.pods = append(out.pods, c.pod(p))
	}
	for _, s := range k.Signs {
		if s.Class == risk.None || s.Why == "" {
			c.fail(fmt.Errorf("sign %q: class and why are needed", s.At))
		}
		out.signs = append(out.signs, c.pattern(s.At))
	}
	for _, r := range k.References {
		if r.Kind == "" {
			c.fail(fmt.Errorf("reference %q: kind is missing", r.Name))
		}
		out.references = append(out.references, c.pattern(r.Name))
	}
	return out, c.err
}

// compiler keeps the first error.
type compiler struct{ err error }

func (c *compiler) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

func (c *compiler) pattern(text string) pattern {
	p, err := parsePattern(text)
	if err != nil {
		c.fail(err)
	}
	return p
}

func (c *compiler) place(text string) place {
	rest, absolute := strings.CutPrefix(text, "/")
	return place{absolute, c.pattern(rest)}
}

func (c *compiler) pod(p Pod) pod {
	out := pod{Pod: p, at: c.pattern(p.At)}
	if len(p.Spec) == 0 && (p.Metadata != "" || len(p.Omit) > 0) {
		c.fail(fmt.Errorf("pod at %q: metadata and omit belong to spec", p.At))
	}
	for _, s := range p.Spec {
		out.spec = append(out.spec, c.place(s))
	}
	if p.Metadata != "" {
		out.metadata = c.place(p.Metadata)
	}
	for _, a := range p.Args {
		out.args = append(out.args, c.place(a))
	}
	for _, ct := range p.Containers {
		one := container{Container: ct, at: c.place(ct.At)}
		for _, at := range slices.Sorted(maps.Keys(ct.Args)) {
			one.args = append(one.args, argument{c.pattern(at), ct.Args[at]})
		}
		out.containers = append(out.containers, one)
	}
	return out
}

// pattern is a path that may go through lists.
type pattern []any

// everyEntry is the segment of a pattern for every entry of a list.
type everyEntry struct{}

// place is a pattern from the object, or from where a pod is.
type place struct {
	absolute bool
	pattern
}

func parsePattern(text string) (pattern, error) {
	if text == "" {
		return nil, errors.New(`a path is missing (the place itself is ".")`)
	}
	if text == "." {
		return pattern{}, nil
	}
	var out pattern
	for i, part := range strings.Split(text, "[*]") {
		p, err := ParsePath(part)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, everyEntry{})
		}
		out = append(out, p...)
	}
	return out, nil
}

// find returns the existing places below root that the pattern names, as paths
// that begin with at, which is where root is.
func (p pattern) find(root any, at Path) []Path {
	for i, seg := range p {
		if _, every := seg.(everyEntry); !every {
			var ok bool
			if root, ok = Lookup(root, Path{seg}); !ok {
				return nil
			}
			at = at.Join(seg)
			continue
		}
		list, _ := root.([]any)
		var out []Path
		for n, item := range list {
			out = append(out, p[i+1:].find(item, at.Join(n))...)
		}
		return out
	}
	return []Path{at}
}

// find returns the existing places in the object; base is where the pod is.
func (p place) find(o *Object, base Path) []Path {
	if p.absolute {
		return p.pattern.find(o.Value, Path{})
	}
	root, ok := Lookup(o.Value, base)
	if !ok {
		return nil
	}
	return p.pattern.find(root, base)
}

// first returns the path of the place, whether it exists or not. It is for
// places without lists.
func (p place) first(base Path) Path {
	if p.absolute {
		base = nil
	}
	return base.Join(p.pattern...)
}
