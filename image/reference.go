//go:build linux

package image

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
)

// kind is where an image comes from.
type kind int

const (
	kindLayout kind = iota + 1
	kindArchive
	kindNamed // in the store, or in a registry
)

// Reference says where an image is.
type Reference struct {
	kind kind
	text string
	path string // absolute; of a layout, an archive or a folder
	tag  string // within the layout or archive; empty: its only image
	name name.Reference
}

func (r Reference) String() string { return r.text }

// ParseReference reads oci:DIR[:TAG], oci:DIR@DIGEST, docker-archive:FILE[:NAME:TAG],
// and names as docker takes them: [REGISTRY/]NAME[:TAG|@DIGEST], of Docker Hub and
// tagged latest where they do not say. A relative path is below the working
// directory.
func ParseReference(text string) (Reference, error) {
	transport, rest, _ := strings.Cut(text, ":")
	r := Reference{text: text}
	switch transport {
	case "oci":
		r.kind = kindLayout
		r.path, r.tag = splitLayout(rest)
	case "docker-archive":
		r.kind = kindArchive
		r.path = rest
		if _, err := os.Lstat(rest); err != nil { // a file's name may have a colon
			r.path, r.tag, _ = strings.Cut(rest, ":")
		}
	default:
		r.kind = kindNamed
		var err error
		if r.name, err = name.ParseReference(strings.TrimPrefix(text, "docker://")); err != nil {
			return r, errReference(text)
		}
		return r, nil
	}
	if r.path == "" {
		return r, errReference(text)
	}
	var err error
	r.path, err = filepath.Abs(r.path)
	return r, err
}

func errReference(text string) error {
	return fault.WithHint(fmt.Errorf("%q names no image", text), "write NAME[:TAG] or NAME@DIGEST of a registry, oci:DIR[:TAG], docker-archive:FILE[:NAME:TAG] or host")
}

// splitLayout splits DIR:TAG and DIR@DIGEST.
func splitLayout(rest string) (dir, tag string) {
	if dir, digest, ok := strings.Cut(rest, "@sha256:"); ok {
		return dir, "sha256:" + digest
	}
	if i := strings.LastIndexByte(rest, ':'); i > 0 && !strings.Contains(rest[i:], "/") {
		return rest[:i], rest[i+1:]
	}
	return rest, ""
}

// fullName is a name of a registry as it is kept and shown.
func fullName(ref name.Reference) string {
	return strings.Replace(ref.Name(), name.DefaultRegistry+"/", "docker.io/", 1)
}
