// Package config reads bulkhead.yaml: a repository's own routes, the handlers
// of RuntimeClasses that its manifests do not carry, and waivers. Reading is
// strict: a key that is not known is an error, because a misspelt waiver or
// route must not pass for one that works.
package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/risk"
)

// FileName is what Find looks for.
const FileName = "bulkhead.yaml"

// APIVersion is the version of the file's form.
const APIVersion = "bulkhead.dev/config/v1"

// Config is the configuration in force.
type Config struct {
	// File is where it was read from; "" for the defaults.
	File string
	// Routes are complete: the file's over the defaults.
	Routes boundary.Routes
	// RuntimeClasses maps names of RuntimeClasses to handlers.
	RuntimeClasses map[string]string
	Waivers        []Waiver
}

// Waiver accepts, for some workloads and for some time, what would otherwise
// be a finding.
type Waiver struct {
	Owner   string    // who answers for it
	Reason  string    // why it is acceptable
	Ticket  string    // where it is tracked
	Expires time.Time // the first moment at which it no longer holds (UTC)
	// What it is for. An empty Namespace or Container stands for every one.
	Kind, Namespace, Name, Container string
	// What it accepts: the findings of one rule, or a boundary weaker than the
	// route's. Exactly one is set.
	Rule     string
	Boundary boundary.Boundary
	// Line is where it stands in the file.
	Line int
}

// Expired reports whether the waiver no longer holds.
func (w Waiver) Expired(now time.Time) bool { return !now.Before(w.Expires) }

// LastDay is the last day on which the waiver holds, as the file writes it.
func (w Waiver) LastDay() string { return w.Expires.Add(-time.Nanosecond).Format(time.DateOnly) }

// Covers reports whether the waiver is for this workload; container is "" for
// findings of the whole pod.
func (w Waiver) Covers(kind, namespace, name, container string) bool {
	return w.Kind == kind && w.Name == name &&
		(w.Namespace == "" || w.Namespace == namespace) &&
		(w.Container == "" || w.Container == container)
}

// Default returns the configuration where there is no file.
func Default() Config {
	return Config{Routes: boundary.DefaultRoutes(), RuntimeClasses: map[string]string{}}
}

// Find returns the path of the configuration for dir: bulkhead.yaml there or in
// the nearest parent, "" where there is none.
func Find(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("looking for %s: %w", FileName, err)
	}
	for {
		path := filepath.Join(dir, FileName)
		switch info, err := os.Stat(path); {
		case err == nil && info.Mode().IsRegular():
			return path, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission):
			return "", fmt.Errorf("looking for %s: %w", FileName, err)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", nil
		}
		dir = parent
	}
}

// ReadFile reads a configuration file.
func ReadFile(path string) (Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading the configuration: %w", err)
	}
	return Parse(path, text)
}

// The forms of the file.
type (
	fileForm struct {
		APIVersion     string              `yaml:"apiVersion"`
		Routes         map[string][]string `yaml:"routes"`
		RuntimeClasses map[string]string   `yaml:"runtimeClasses"`
		Waivers        []waiverForm        `yaml:"waivers"`
	}
	waiverForm struct {
		Owner   string `yaml:"owner"`
		Reason  string `yaml:"reason"`
		Ticket  string `yaml:"ticket"`
		Expires string `yaml:"expires"`
		Scope   struct {
			Kind      string `yaml:"kind"`
			Namespace string `yaml:"namespace"`
			Name      string `yaml:"name"`
			Container string `yaml:"container"`
		} `yaml:"scope"`
		Accept struct {
			Rule     string `yaml:"rule"`
			Boundary string `yaml:"boundary"`
		} `yaml:"accept"`
	}
)

// Parse reads a configuration; name stands in its errors.
func Parse(name string, text []byte) (Config, error) {
	var f fileForm
	if err := strict(text, &f); err != nil {
		return Config{}, fmt.Errorf("%s: %w", name, err)
	}
	if f.APIVersion != APIVersion {
		return Config{}, fmt.Errorf("%s: apiVersion is %q, not %q", name, f.APIVersion, APIVersion)
	}
	c := Default()
	c.File = name
	for class, runtimes := range f.Routes {
		cl, err := risk.ParseClass(class)
		if err != nil {
			return Config{}, fmt.Errorf("%s: routes: %w", name, err)
		}
		c.Routes[cl] = nil
		for _, rt := range runtimes {
			c.Routes[cl] = append(c.Routes[cl], boundary.Runtime(rt))
		}
	}
	if err := c.Routes.Validate(); err != nil {
		return Config{}, fmt.Errorf("%s: routes: %w", name, err)
	}
	for class, handler := range f.RuntimeClasses {
		c.RuntimeClasses[class] = handler
	}
	var lines struct {
		Waivers []yaml.Node `yaml:"waivers"`
	}
	if err := yaml.Unmarshal(text, &lines); err != nil {
		return Config{}, fmt.Errorf("%s: %w", name, err)
	}
	for i, form := range f.Waivers {
		w, err := form.waiver(lines.Waivers[i].Line)
		if err != nil {
			return Config{}, fmt.Errorf("%s:%d: waiver: %w", name, lines.Waivers[i].Line, err)
		}
		c.Waivers = append(c.Waivers, w)
	}
	return c, nil
}

var goType = regexp.MustCompile(` in type \S+`)

func strict(text []byte, into any) error {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	err := dec.Decode(into)
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty")
	}
	if err != nil {
		return errors.New(goType.ReplaceAllString(err.Error(), ""))
	}
	return nil
}

func (f waiverForm) waiver(line int) (Waiver, error) {
	for _, field := range []struct{ name, value string }{
		{"owner", f.Owner}, {"reason", f.Reason}, {"ticket", f.Ticket}, {"expires", f.Expires},
		{"scope.kind", f.Scope.Kind}, {"scope.name", f.Scope.Name},
	} {
		if field.value == "" {
			return Waiver{}, fmt.Errorf("%s is required", field.name)
		}
	}
	day, err := time.Parse(time.DateOnly, f.Expires)
	if err != nil {
		return Waiver{}, fmt.Errorf("expires is %q, not a date such as 2027-06-30", f.Expires)
	}
	w := Waiver{
		Owner: f.Owner, Reason: f.Reason, Ticket: f.Ticket, Line: line,
		Expires: day.AddDate(0, 0, 1), // the day itself is included
		Kind:    f.Scope.Kind, Namespace: f.Scope.Namespace, Name: f.Scope.Name, Container: f.Scope.Container,
		Rule: f.Accept.Rule,
	}
	if (f.Accept.Rule == "") == (f.Accept.Boundary == "") {
		return Waiver{}, errors.New("accept names either a rule or a boundary")
	}
	if f.Accept.Boundary != "" {
		if w.Boundary, err = boundary.Parse(f.Accept.Boundary); err != nil {
			return Waiver{}, fmt.Errorf("accept: %w", err)
		}
		if w.Container != "" {
			return Waiver{}, errors.New("a boundary holds for the whole pod: leave out scope.container")
		}
	}
	return w, nil
}
