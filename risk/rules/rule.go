// Package rules is the rule catalogue: what shows that a workload is of a risk
// class, and what its baseline must have. Rules are data (YAML in this folder),
// written once in CEL in the environment of the Kubernetes API server: each
// renders to one boolean expression over the pod, which a
// ValidatingAdmissionPolicy carries unchanged. The CLI looks for the fields that
// make it true, with the same conditions, and evaluates the whole of it where
// that does not decide.
package rules

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/bulkhead-dev/bulkhead/risk"
)

// Scope says what a rule needs to see.
type Scope string

const (
	ScopePod     Scope = "pod"     // the pod alone: the same verdict in the CLI and in the API server
	ScopeInput   Scope = "input"   // other objects of the same input
	ScopeCluster Scope = "cluster" // the live cluster
)

// Kind says what a rule looks at.
type Kind string

const (
	Behaviour  Kind = "behaviour"  // what it does, whatever it is called
	Technology Kind = "technology" // what software it is; an image's name proves nothing
	Hint       Kind = "hint"       // it has to do with LLMs, but that decides no class
	Baseline   Kind = "baseline"   // a hardening control that every pod should have
	Policy     Kind = "policy"     // a finding about the objects around the pod
)

// Severity of a finding.
type Severity string

const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Info    Severity = "info"
)

// Rule is one entry of the catalogue.
type Rule struct {
	ID         string     `yaml:"id" json:"id"`
	Title      string     `yaml:"title" json:"title"`
	Kind       Kind       `yaml:"kind" json:"kind"`
	Scope      Scope      `yaml:"scope" json:"scope"`
	Class      risk.Class `yaml:"class,omitempty" json:"class"`                 // rules that decide a class
	Spawner    bool       `yaml:"spawner,omitempty" json:"spawner,omitempty"`   // it creates other pods
	Severity   Severity   `yaml:"severity,omitempty" json:"severity,omitempty"` // baseline and policy rules
	Control    string     `yaml:"control,omitempty" json:"control,omitempty"`   // baseline: the field it is about
	Set        any        `yaml:"set,omitempty" json:"set,omitempty"`           // baseline: the value that the field must have
	Message    string     `yaml:"message" json:"message"`
	Fix        string     `yaml:"fix" json:"fix"`
	Example    string     `yaml:"example,omitempty" json:"example,omitempty"` // YAML that shows the fix
	References []string   `yaml:"references" json:"references"`
	// Large is for the rule about pods that are too large for the others.
	Large bool `yaml:"large,omitempty" json:"large,omitempty"`
	// If guards the whole rule: CEL over object and variables.
	If string `yaml:"if,omitempty" json:"if,omitempty"`
	// Any are the alternatives: the rule fires where one of them does. Rules of
	// scope input and cluster have none: they are code, in internal/decide.
	Any   []Alternative `yaml:"any,omitempty" json:"any,omitempty"`
	Cases Cases         `yaml:"cases" json:"-"`
}

// Decides reports whether the rule is evidence for a class or a flag.
func (r *Rule) Decides() bool {
	return r.Kind == Behaviour || r.Kind == Technology || r.Kind == Hint
}

// Alternative is one way for a rule to fire. Exactly one of At, Image, Command
// and Env is set; the last three are short forms.
type Alternative struct {
	// Each is `container` (the default; init and ephemeral containers count) or `pod`.
	Each string `yaml:"each,omitempty" json:"each,omitempty"`
	// At are field paths relative to the container or pod; `[*]` is every entry of a list.
	At Strings `yaml:"at,omitempty" json:"at,omitempty"`
	// When is CEL over `v`, the value at the path; also c (the container),
	// object (the pod) and variables.
	When string `yaml:"when,omitempty" json:"when,omitempty"`
	// Absent is CEL that decides where the path does not exist.
	Absent string `yaml:"absent,omitempty" json:"absent,omitempty"`
	// Image lists repositories, by their last one or more path components; `*`
	// stands for any characters of one component.
	Image Strings `yaml:"image,omitempty" json:"image,omitempty"`
	// Command lists RE2 patterns for the command line: command and args, joined by spaces.
	Command Strings `yaml:"command,omitempty" json:"command,omitempty"`
	// Env lists RE2 patterns for the whole name of an environment variable.
	Env Strings `yaml:"env,omitempty" json:"env,omitempty"`
}

// Strings is a list that may be written as one string.
type Strings []string

// UnmarshalYAML reads a string or a list of strings.
func (s *Strings) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		*s = Strings{n.Value}
		return nil
	}
	var list []string
	if err := n.Decode(&list); err != nil {
		return err
	}
	*s = list
	return nil
}

// Cases are the rule's own tests.
type Cases struct {
	Fires  []Case `yaml:"fires"`
	Silent []Case `yaml:"silent"`
}

// Case is an input and what the rule must say about it. One of Pod, Container,
// Images, Commands and Env is the input; lists stand for one pod each.
type Case struct {
	Name      string         `yaml:"name,omitempty"`
	Pod       map[string]any `yaml:"pod,omitempty"`       // metadata and spec
	Container map[string]any `yaml:"container,omitempty"` // the only container
	Images    []string       `yaml:"images,omitempty"`
	Commands  [][]string     `yaml:"commands,omitempty"`
	Env       []string       `yaml:"env,omitempty"`
	// Input is manifests, for rules of scope input.
	Input string `yaml:"input,omitempty"`
	// At is where the evidence must be; the short forms know theirs.
	At Strings `yaml:"at,omitempty"`
}

//go:embed *.yaml
var files embed.FS

// file is the form of a rule file.
type file struct {
	Variables []Variable `yaml:"variables,omitempty"`
	Rules     []Rule     `yaml:"rules,omitempty"`
}

// Variable is a shared sub-expression, evaluated at most once a pod. Later ones
// may use earlier ones, as in a ValidatingAdmissionPolicy.
type Variable struct {
	Name       string `yaml:"name" json:"name"`
	Expression string `yaml:"expression" json:"expression"`
}

// Catalogue is a set of rules and the variables that they use.
type Catalogue struct {
	Variables []Variable `json:"variables"`
	Rules     []Rule     `json:"rules"`
}

//go:generate go test -run TestGenerated -update .

// Builtin returns the catalogue that ships with Bulkhead, without its cases. It
// is generated as Go, because every start of a verb that decides takes it.
func Builtin() *Catalogue {
	c := generated()
	return &c
}

// Source returns the same catalogue as it was written, with its cases.
func Source() (*Catalogue, error) { return Load(files) }

// Load reads every *.yaml file at the top of fsys, in the order of their names.
// Unknown fields, rules without an id and two rules of one id are errors.
func Load(fsys fs.FS) (*Catalogue, error) {
	names, err := fs.Glob(fsys, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("listing rules: %w", err)
	}
	var c Catalogue
	for _, name := range names {
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			return nil, fmt.Errorf("reading rules: %w", err)
		}
		one, err := Parse(name, text)
		if err != nil {
			return nil, fmt.Errorf("reading rules: %w", err)
		}
		c.Variables = append(c.Variables, one.Variables...)
		c.Rules = append(c.Rules, one.Rules...)
	}
	return &c, c.unique()
}

// Rule returns a rule by its id.
func (c *Catalogue) Rule(id string) (*Rule, bool) {
	i := slices.IndexFunc(c.Rules, func(r Rule) bool { return r.ID == id })
	if i < 0 {
		return nil, false
	}
	return &c.Rules[i], true
}

func (r *Rule) validate() error {
	switch {
	case r.ID == "" || r.Title == "" || r.Message == "" || r.Fix == "":
		return errors.New("id, title, message and fix are required")
	case !slices.Contains([]Scope{ScopePod, ScopeInput, ScopeCluster}, r.Scope):
		return fmt.Errorf("unknown scope %q", r.Scope)
	case !slices.Contains([]Kind{Behaviour, Technology, Hint, Baseline, Policy}, r.Kind):
		return fmt.Errorf("unknown kind %q", r.Kind)
	case r.Decides() && r.Severity != "":
		return errors.New("a rule that decides a class has no severity")
	case r.Kind == Hint && r.Class != risk.Unknown:
		return errors.New("a hint has class unknown")
	case (r.Kind == Behaviour || r.Kind == Technology) && r.Class < risk.Inference && !r.Spawner:
		return errors.New("it decides neither a class nor a flag")
	case !r.Decides() && !slices.Contains([]Severity{Error, Warning, Info}, r.Severity):
		return fmt.Errorf("unknown severity %q", r.Severity)
	case r.Scope == ScopePod && len(r.Any) == 0:
		return errors.New("no alternatives")
	case r.Scope != ScopePod && len(r.Any) > 0:
		return fmt.Errorf("rules of scope %s have no alternatives", r.Scope)
	}
	for i, a := range r.Any {
		if err := a.validate(); err != nil {
			return fmt.Errorf("alternative %d: %w", i+1, err)
		}
	}
	return nil
}

func (a *Alternative) validate() error {
	forms := 0
	for _, s := range []Strings{a.At, a.Image, a.Command, a.Env} {
		if len(s) > 0 {
			forms++
		}
	}
	switch {
	case forms != 1:
		return errors.New("exactly one of at, image, command and env is needed")
	case a.Each != "" && a.Each != "container" && a.Each != "pod":
		return fmt.Errorf("each is %q: it is container or pod", a.Each)
	case len(a.At) == 0 && (a.When != "" || a.Absent != "" || a.Each == "pod"):
		return errors.New("image, command and env are for containers and take no when or absent")
	case len(a.At) > 0 && a.When == "" && a.Absent == "":
		return errors.New("at needs when or absent")
	}
	for _, command := range a.Command {
		re, err := regexp.Compile(command)
		if err != nil {
			return fmt.Errorf("command %q: %w", command, err)
		}
		if re.MatchString("") {
			return fmt.Errorf("command %q matches every container without a command", command)
		}
	}
	for _, at := range a.At {
		p, err := parsePattern(at)
		if err != nil {
			return err
		}
		if a.Absent != "" && slices.Contains(p, anyEntry) {
			return fmt.Errorf("at %q: a list has no absent entries", at)
		}
	}
	return nil
}
