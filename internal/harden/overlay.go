package harden

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// KustomizationFile is the name of the file that makes a folder an overlay.
const KustomizationFile = "kustomization.yaml"

// Overlay is a kustomization that changes what it is laid over.
type Overlay struct {
	// Resources are what it is laid over, as seen from its folder: files, or folders
	// of other kustomizations.
	Resources []string
	// Plans are those of the objects that the resources come to.
	Plans []Plan
	// Sets are what is to stand around them.
	Sets []PolicySet
	// Said are lines at the top of the kustomization.
	Said []string
}

// Files returns the files of the overlay's folder, the kustomization last. Each
// object that is changed has a patch of its own, and beside it an empty one that
// names the object: kustomize passes over a patch whose target is gone, but not over
// that one.
func (o Overlay) Files() ([]File, error) {
	names := map[string]bool{KustomizationFile: true}
	var files []File
	resources := &yaml.Node{Kind: yaml.SequenceNode}
	for _, r := range o.Resources {
		resources.Content = append(resources.Content, scalar(resource(r)))
	}
	for _, set := range o.Sets {
		for _, f := range set.Files {
			name := fileName(names, strings.TrimSuffix(path.Base(f.Path), ".yaml"))
			resources.Content = append(resources.Content, scalar(name))
			files = append(files, File{Path: name, Text: Mark(f.Text)})
		}
	}
	patches := &yaml.Node{Kind: yaml.SequenceNode}
	for _, p := range o.Plans {
		if p.Kept != "" || len(p.Changes) == 0 {
			continue
		}
		w := p.Decision.Workload.Object
		text, err := JSONPatch(w, p.Changes)
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", w.Kind, w.Name, err)
		}
		name := fileName(names, strings.ToLower(w.Kind)+"-"+w.Name)
		guard, err := encode(identity(w))
		if err != nil {
			return nil, err
		}
		there := mapping("patch", scalar(strings.TrimSpace(string(guard))))
		there.HeadComment = printable.Text(fmt.Sprintf("%s %s is there, and has the changes of %s", w.Kind, w.Name, name))
		there.Content[1].Style = yaml.LiteralStyle
		patches.Content = append(patches.Content, there, mapping("path", scalar(name), "target", target(w)))
		files = append(files, File{Path: name, Text: Mark(text)})
	}
	root := mapping("apiVersion", scalar("kustomize.config.k8s.io/v1beta1"), "kind", scalar("Kustomization"), "resources", resources)
	if len(patches.Content) > 0 {
		root.Content = append(root.Content, scalar("patches"), patches)
	}
	for i, line := range o.Said {
		o.Said[i] = printable.Text(line)
	}
	root.HeadComment = strings.Join(o.Said, "\n")
	text, err := encode(root)
	return append(files, File{Path: KustomizationFile, Text: Mark(text)}), err
}

// resource writes a path so that kustomize does not take it for a URL.
func resource(p string) string {
	if strings.HasPrefix(p, "../") || p == ".." || path.IsAbs(p) {
		return p
	}
	return "./" + p
}

// mapping makes a mapping of keys and nodes in turn.
func mapping(pairs ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for _, p := range pairs {
		switch v := p.(type) {
		case string:
			n.Content = append(n.Content, scalar(v))
		case *yaml.Node:
			n.Content = append(n.Content, v)
		}
	}
	return n
}

// identity is an object with its names alone: a strategic merge patch that changes
// nothing and fails where the object is not.
func identity(o *manifest.Object) *yaml.Node {
	meta := mapping("name", scalar(o.Name))
	if o.Namespace != "" {
		meta.Content = append(meta.Content, scalar("namespace"), scalar(o.Namespace))
	}
	return mapping("apiVersion", scalar(o.APIVersion), "kind", scalar(o.Kind), "metadata", meta)
}

// target selects an object. Its fields are regular expressions for kustomize, for
// which no namespace is "default".
func target(o *manifest.Object) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	version := o.APIVersion
	if g := o.Group(); g != "" {
		n.Content = append(n.Content, scalar("group"), scalar(regexp.QuoteMeta(g)))
		version = strings.TrimPrefix(version, g+"/")
	}
	namespace := o.Namespace
	if namespace == "" {
		namespace = "default"
	}
	more := mapping("version", scalar(regexp.QuoteMeta(version)), "kind", scalar(regexp.QuoteMeta(o.Kind)),
		"name", scalar(regexp.QuoteMeta(o.Name)), "namespace", scalar(regexp.QuoteMeta(namespace)))
	n.Content = append(n.Content, more.Content...)
	return n
}

// longestName bounds the names of files: the API allows names of 253 bytes, most
// file systems those of 255.
const longestName = 120

// fileName makes a name for a file of what an object is called, whatever is in that,
// and takes it.
func fileName(taken map[string]bool, name string) string {
	clean := plainName(name[:min(len(name), longestName)])
	out := clean + ".yaml"
	for n := 2; taken[out]; n++ {
		out = fmt.Sprintf("%s-%d.yaml", clean, n)
	}
	taken[out] = true
	return out
}

// plainName is a name as a part of that of a file: it is no path, and not hidden.
func plainName(name string) string {
	clean := []byte(name)
	for i, c := range clean {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.' && i > 0:
		default:
			clean[i] = '-'
		}
	}
	return string(clean)
}

const markText = "# Written by bulkhead harden. An edited file is not written again. sha256: "

// Mark puts a line before a text that says who wrote it and what it was.
func Mark(text []byte) []byte {
	if shebang, rest, ok := strings.Cut(string(text), "\n"); ok && strings.HasPrefix(shebang, "#!") {
		return []byte(shebang + "\n" + markText + sum([]byte(rest)) + "\n" + rest)
	}
	return append([]byte(markText+sum(text)+"\n"), text...)
}

// IsMarked reports whether a file was written by Bulkhead and is as it was.
func IsMarked(file []byte) bool {
	first, rest, _ := strings.Cut(strings.ReplaceAll(string(file), "\r\n", "\n"), "\n")
	if strings.HasPrefix(first, "#!") {
		first, rest, _ = strings.Cut(rest, "\n")
	}
	return first == markText+sum([]byte(rest))
}

func sum(text []byte) string {
	s := sha256.Sum256(text)
	return hex.EncodeToString(s[:])
}

// Edited returns the object as it will be. Its positions are those of the source.
func (p Plan) Edited() (*manifest.Object, error) {
	var changes []manifest.Change
	for _, c := range p.Changes {
		changes = append(changes, c.Change)
	}
	o := *p.Decision.Workload.Whole()
	value, err := manifest.Changed(&o, changes)
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", o.Kind, o.Name, err)
	}
	o.Value = value
	return &o, nil
}

// Same reports whether an object that kustomize wrote is the one that was meant:
// kustomize drops annotations and labels that are empty mappings.
func Same(meant, built map[string]any) bool {
	return reflect.DeepEqual(withoutEmpty(meant), withoutEmpty(built))
}

func withoutEmpty(object map[string]any) map[string]any {
	meta, ok := object["metadata"].(map[string]any)
	if !ok {
		return object
	}
	object, meta = maps.Clone(object), maps.Clone(meta)
	for _, key := range []string{"annotations", "labels"} {
		if m, ok := meta[key].(map[string]any); ok && len(m) == 0 {
			delete(meta, key)
		}
	}
	object["metadata"] = meta
	return object
}
