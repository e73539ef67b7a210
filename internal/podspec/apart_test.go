package podspec

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

// TestApart: what containers cannot share is an ErrTogether, and each has its own
// where they are apart.
func TestApart(t *testing.T) {
	for name, spec := range map[string]string{
		"users":              `{containers: [{name: a, securityContext: {runAsUser: 1}}, {name: b, securityContext: {runAsUser: 2}}]}`,
		"a Secret":           `{containers: [{name: a, envFrom: [{secretRef: {name: keys}}]}, {name: b}]}`,
		"a mounted Secret":   `{containers: [{name: a, volumeMounts: [{name: v, mountPath: /v}]}, {name: b}], volumes: [{name: v, secret: {secretName: keys}}]}`,
		"one place":          `{containers: [{name: a, volumeMounts: [{name: v, mountPath: /v}]}, {name: b, volumeMounts: [{name: w, mountPath: /v}]}], volumes: [{name: v, emptyDir: {}}, {name: w, configMap: {name: settings}}]}`,
		"places of a folder": `{containers: [{name: a, volumeMounts: [{name: v, mountPath: /v}]}, {name: b, volumeMounts: [{name: v, mountPath: /w}]}], volumes: [{name: v, emptyDir: {}}]}`,
	} {
		if _, err := readPod(t, spec); !errors.Is(err, pod.ErrTogether) || fault.Hint(err) == "" {
			t.Errorf("%s: %v, want ErrTogether and a hint", name, err)
		}
		if _, err := readAs(t, spec, true); err != nil {
			t.Errorf("%s, apart: %v", name, err)
		}
	}
	p, err := readAs(t, `
containers:
- {name: a, securityContext: {runAsUser: 1}, volumeMounts: [{name: both, mountPath: /v}, {name: mine, mountPath: /mine}, {name: key, mountPath: /key}]}
- {name: b, securityContext: {runAsUser: 2, readOnlyRootFilesystem: true}, volumeMounts: [{name: both, mountPath: /w}]}
volumes: [{name: both, emptyDir: {}}, {name: mine, emptyDir: {}}, {name: key, secret: {secretName: keys}}]`, true)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range p.Containers {
		for _, v := range c.Own.Volumes {
			line := c.Name + " " + v.Target
			if v.Shared != "" {
				line += " " + v.Shared
			}
			got = append(got, line)
		}
	}
	if want := []string{"a /key", "a /mine", "a /v folder-0", "b /w folder-0"}; !slices.Equal(got, want) || len(p.Volumes) > 0 {
		t.Errorf("volumes %q, want %q", got, want)
	}
	a, b := p.Containers[0].Own.Security, p.Containers[1].Own.Security
	if *a.UID != 1 || *b.UID != 2 || a.ReadOnlyRoot || !b.ReadOnlyRoot {
		t.Errorf("security %+v and %+v", a, b)
	}
}

// TestApartRefused: what no container of its own can have either.
func TestApartRefused(t *testing.T) {
	for want, spec := range map[string]string{
		"shares a namespace with the host": `{hostNetwork: true, containers: [{name: c}]}`,
		`mounts two volumes at "/v"`:       `{containers: [{name: c, volumeMounts: [{name: v, mountPath: /v}, {name: w, mountPath: /v/}]}], volumes: [{name: v, emptyDir: {}}, {name: w, emptyDir: {}}]}`,
	} {
		_, err := readAs(t, spec, true)
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, pod.ErrTogether) || fault.Hint(err) == "" {
			t.Errorf("%v, want %q and a hint", err, want)
		}
	}
}
