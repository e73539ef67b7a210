package harden

import (
	"bytes"
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// image is what is known of an image; see images.yaml.
type image struct {
	Names    []string          `yaml:"names"`
	User     int               `yaml:"user"`
	Writable []string          `yaml:"writable"`
	Env      map[string]string `yaml:"env"`
	Why      string            `yaml:"why"`
}

//go:embed images.yaml
var builtinImages []byte

// images reads the catalogue.
func images() ([]image, error) {
	var file struct {
		Images []image `yaml:"images"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(builtinImages))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("reading the images: %w", err)
	}
	for _, i := range file.Images {
		if i.User <= 0 || i.Why == "" || slices.ContainsFunc(i.Writable, func(p string) bool { return !path.IsAbs(p) || path.Clean(p) != p }) {
			return nil, fmt.Errorf("images: %v: user, why and clean absolute folders are needed", i.Names)
		}
	}
	return file.Images, nil
}

// known returns what is known of the image that a reference names.
func known(all []image, ref string) (image, bool) {
	repository, _, _ := strings.Cut(ref, "@")
	if colon := strings.LastIndexByte(repository, ':'); colon > strings.LastIndexByte(repository, '/') {
		repository = repository[:colon]
	}
	for _, i := range all {
		for _, name := range i.Names {
			if repository == name || strings.Contains(name, "/") && strings.HasSuffix(repository, "/"+name) {
				return i, true
			}
		}
	}
	return image{}, false
}
