package oci

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// TestEROFS: a runtime that mounts EROFS images gets the root as one, unless the
// root has to be copied to make a place for a mount.
func TestEROFS(t *testing.T) {
	for _, tt := range []struct {
		name   string
		able   bool
		target string
		want   map[string]string
	}{
		{"a place that is there", true, "/mnt", map[string]string{"dev.gvisor.spec.rootfs.source": "/image.erofs", "dev.gvisor.spec.rootfs.type": "erofs"}},
		{"a place that is missing", true, "/data", nil},
		{"another runtime", false, "/mnt", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, r := t.TempDir(), root(t)
			r.EROFS = "/image.erofs"
			s := sandbox.Spec{ID: "box", Root: r, Mounts: []sandbox.Mount{{Source: t.TempDir(), Target: tt.target}}}
			if err := WriteBundle(dir, s, Runtime{EROFS: tt.able}); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(dir, "config.json"))
			if err != nil {
				t.Fatal(err)
			}
			var got specs.Spec
			if err := json.Unmarshal(text, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.Annotations); diff != "" {
				t.Error(diff)
			}
		})
	}
}
