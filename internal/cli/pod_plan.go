package cli

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
	"github.com/bulkhead-dev/bulkhead/internal/podspec"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/internal/sandboxcli"
)

// maxManifestBytes bounds a manifest that is run.
const maxManifestBytes = 4 << 20

// planPod reads a manifest and the configuration, and decides.
func planPod(stdin io.Reader, m sandboxcli.Manifest) (sandboxcli.Plan, error) {
	text, err := readManifest(stdin, m.File)
	if err != nil {
		return sandboxcli.Plan{}, err
	}
	cfg, err := podConfig(m)
	if err != nil {
		return sandboxcli.Plan{}, err
	}
	plan, err := decide.NewPlan(m.File, m.Workload, text, cfg, time.Now())
	if err != nil {
		return sandboxcli.Plan{}, err
	}
	objects, err := podspec.ReadObjects(plan.Objects)
	if err != nil {
		return sandboxcli.Plan{}, console.UsageError(err, "see `kubectl explain secret`")
	}
	read := func(apart bool) (*pod.Pod, error) {
		p, err := podspec.New(plan.Pod, objects, apart)
		if n := plan.Row.Replicas; n > 1 && err == nil {
			p.Notes = append(p.Notes, fmt.Sprintf("one of its %d pods is run", n))
		}
		return p, err
	}
	return sandboxcli.Plan{
		Pod: read, File: plan.Row.File, Subject: plan.Row.Kind + "/" + printable.Lines(plan.Row.Name), Class: plan.Class,
		Required: plan.Required, Reason: plan.Reason, Runtimes: plan.Runtimes, Accepted: plan.Accepted, Waiver: plan.Waiver,
	}, nil
}

// readManifest reads a file, or standard input where it is "-".
func readManifest(stdin io.Reader, name string) ([]byte, error) {
	const hint = "give a file with one Pod: bulkhead run -f pod.yaml"
	in := stdin
	if name != "-" {
		file, err := os.Open(name)
		if err != nil {
			return nil, console.UsageError(fmt.Errorf("reading the manifest: %w", err), hint)
		}
		defer file.Close()
		in = file
	}
	text, err := io.ReadAll(io.LimitReader(in, maxManifestBytes+1))
	if err == nil && len(text) > maxManifestBytes {
		err = fmt.Errorf("it is larger than %d bytes", maxManifestBytes)
	}
	if err != nil {
		return nil, console.UsageError(fmt.Errorf("reading %s: %w", name, err), hint)
	}
	return text, nil
}

// podConfig reads the configuration that a manifest is run by.
func podConfig(m sandboxcli.Manifest) (config.Config, error) {
	path := m.Config
	if path == "" {
		dir := "."
		if m.File != "-" {
			dir = filepath.Dir(m.File)
		}
		var err error
		if path, err = config.Find(dir); err != nil {
			return config.Config{}, err
		}
	}
	if path == "" {
		return config.Default(), nil
	}
	cfg, err := config.ReadFile(path)
	if err != nil {
		return config.Config{}, fault.WithCode(err, fault.Usage)
	}
	return cfg, nil
}
