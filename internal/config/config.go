// Package config reads bulkhead.yaml: a repository's own routes, the handlers
// of RuntimeClasses that its manifests do not carry, settings of rules and own
// rules, own kinds, an image catalogue, peers of workloads, and waivers. Reading is strict: a key
// that is not known is an error, because a misspelt waiver or route must not
// pass for one that works.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
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
	// Rules are settings of rules, RuleFiles where own rules are, and Own those
	// that were read from there; nil for none.
	Rules     []RuleSetting
	RuleFiles []RuleFile
	Own       *rules.Catalogue
	// Kinds are kinds of workloads beside the built-in ones.
	Kinds   []manifest.Kind
	Images  []Image
	Waivers []Waiver
	// Peers are where workloads may send packets beside what the manifests show.
	Peers []Peer
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

// maxBytes bounds a configuration file.
const maxBytes = 1 << 20

// ReadFile reads a configuration file, and the own rules that it names.
func ReadFile(path string) (Config, error) {
	text, err := readBounded(path)
	if err != nil {
		return Config{}, fmt.Errorf("reading the configuration: %w", err)
	}
	c, err := Parse(path, text)
	if err != nil {
		return Config{}, err
	}
	if err := c.loadRules(); err != nil {
		return Config{}, err
	}
	return c, nil
}
