//go:build linux

package image

import (
	"encoding/json"
	"fmt"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
)

// ParsePlatform reads OS/ARCH[/VARIANT], or ARCH alone; empty: this machine's.
func ParsePlatform(text string) (v1.Platform, error) {
	own := v1.Platform{OS: "linux", Architecture: runtime.GOARCH}
	if text == "" {
		return own, nil
	}
	p, err := v1.ParsePlatform(text)
	if err != nil || p.OSVersion != "" || p.OS == "" {
		return own, fault.WithHint(fmt.Errorf("%q is not a platform", text), "write OS/ARCH[/VARIANT]: linux/arm64")
	}
	if p.Architecture == "" { // the library takes a single word for the system
		p.OS, p.Architecture = "linux", p.OS
	}
	if p.OS != "linux" {
		return own, fault.WithHint(fmt.Errorf("images for %s cannot be used", p.OS), "take linux/ARCH")
	}
	return *p, nil
}

// runsHere reports whether this machine runs a platform's programs.
func runsHere(p v1.Platform) bool { return p.OS == "linux" && p.Architecture == runtime.GOARCH }

func errPlatform(os, arch string, want v1.Platform) error {
	return fault.WithHint(fmt.Errorf("it is for %s/%s", os, arch), "take one for "+want.String())
}

// choose returns the one image for a platform among descriptors, and looks into
// indexes. blob reads what a descriptor names.
func choose(among []v1.Descriptor, want v1.Platform, blob func(v1.Descriptor) ([]byte, error), depth int) (v1.Descriptor, error) {
	fit := fitting(among, want)
	if len(fit) != 1 {
		return v1.Descriptor{}, fault.WithHint(fmt.Errorf("%d of its %d images are for %s", len(fit), len(among), want.String()),
			"name one by its tag or digest; take an image for "+want.String())
	}
	if fit[0].MediaType.IsImage() {
		return fit[0], nil
	}
	if depth++; depth > maxIndexes {
		return v1.Descriptor{}, fmt.Errorf("%w: an index in an index in an index", ErrHostile)
	}
	text, err := blob(fit[0])
	if err != nil {
		return v1.Descriptor{}, err
	}
	var inner v1.IndexManifest
	if err := json.Unmarshal(text, &inner); err != nil {
		return v1.Descriptor{}, fmt.Errorf("reading index %s: %w", fit[0].Digest, err)
	}
	return choose(inner.Manifests, want, blob, depth)
}

// fitting are the images and indexes for a platform. Of several variants the
// one without a name is the one that runs everywhere.
func fitting(among []v1.Descriptor, want v1.Platform) []v1.Descriptor {
	var fit, plain []v1.Descriptor
	for _, d := range among {
		if !d.MediaType.IsImage() && !d.MediaType.IsIndex() {
			continue
		}
		p := d.Platform
		// What does not say its platform is judged by its configuration, later.
		if p != nil && (p.OS != want.OS || p.Architecture != want.Architecture || want.Variant != "" && p.Variant != want.Variant) {
			continue
		}
		fit = append(fit, d)
		if p == nil || p.Variant == "" {
			plain = append(plain, d)
		}
	}
	if len(fit) > 1 && len(plain) > 0 {
		return plain
	}
	return fit
}
