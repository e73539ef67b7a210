package podspec

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

// mountedAs are what each container mounts: place, and the name of the folder
// where several mount it.
func mountedAs(p *pod.Pod) []string {
	var out []string
	for _, v := range p.Volumes {
		out = append(out, v.Target)
	}
	for _, c := range p.Containers {
		for _, v := range c.Own.Volumes {
			out = append(out, strings.TrimSpace(c.Name+" "+v.Target+" "+v.Shared))
		}
	}
	return out
}

// TestSubPaths: a folder of an empty volume is one in memory of its own. Who mounts
// what is above it has it there.
func TestSubPaths(t *testing.T) {
	for _, tt := range []struct {
		name, spec      string
		together, apart []string // together is nil where it cannot be had
	}{
		{
			"folders beside each other",
			`{containers: [{name: a, volumeMounts: [{name: v, mountPath: /x, subPath: one/}, {name: v, mountPath: /y, subPath: ./two}]}, {name: b, volumeMounts: [{name: v, mountPath: /y, subPath: two}]}], volumes: [{name: v, emptyDir: {}}]}`,
			[]string{"/x", "/y"},
			[]string{"a /x", "a /y folder-0", "b /y folder-0"},
		}, {
			"a folder and all of it",
			`{containers: [{name: a, volumeMounts: [{name: v, mountPath: /v}]}, {name: b, volumeMounts: [{name: v, mountPath: /c, subPath: x/y}]}], volumes: [{name: v, emptyDir: {}}]}`,
			nil,
			[]string{"a /v", "a /v/x", "a /v/x/y folder-0", "b /c folder-0"},
		}, {
			"at its own place",
			`{containers: [{name: a, volumeMounts: [{name: v, mountPath: /v, subPath: .}]}, {name: b, volumeMounts: [{name: v, mountPath: /v/x, subPath: x}]}], volumes: [{name: v, emptyDir: {}}]}`,
			[]string{"/v", "/v/x"},
			[]string{"a /v", "a /v/x folder-0", "b /v/x folder-0"},
		}, {
			"names that begin alike",
			`{containers: [{name: a, volumeMounts: [{name: v, mountPath: /a, subPath: x}, {name: v, mountPath: /b, subPath: xy}]}], volumes: [{name: v, emptyDir: {}}]}`,
			[]string{"/a", "/b"},
			[]string{"a /a", "a /b"},
		}, {
			"something else is mounted over it",
			`{containers: [{name: a, volumeMounts: [{name: v, mountPath: /v}, {name: w, mountPath: /v/x}, {name: v, mountPath: /y, subPath: x/y}]}], volumes: [{name: v, emptyDir: {}}, {name: w, emptyDir: {}}]}`,
			[]string{"/v", "/v/x", "/y"},
			[]string{"a /v", "a /v/x", "a /y"},
		}, {
			"an expression",
			`{containers: [{name: a, env: [{name: WHO, value: me}], volumeMounts: [{name: v, mountPath: /v, subPathExpr: "of/$(WHO)"}]}, {name: b, volumeMounts: [{name: v, mountPath: /w, subPath: of/me}]}], volumes: [{name: v, emptyDir: {}}]}`,
			nil,
			[]string{"a /v folder-0", "b /w folder-0"},
		},
	} {
		p, err := readAs(t, tt.spec, false)
		switch {
		case tt.together == nil:
			if !errors.Is(err, pod.ErrTogether) || fault.Hint(err) == "" {
				t.Errorf("%s: %v, want ErrTogether and a hint", tt.name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", tt.name, err)
		default:
			if diff := cmp.Diff(tt.together, mountedAs(p)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
		}
		if p, err = readAs(t, tt.spec, true); err != nil {
			t.Errorf("%s, apart: %v", tt.name, err)
		} else if diff := cmp.Diff(tt.apart, mountedAs(p)); diff != "" {
			t.Errorf("%s, apart (-want +got):\n%s", tt.name, diff)
		} else if !strings.Contains(strings.Join(p.Notes, "\n"), "is a file system of its own") {
			t.Errorf("%s: nothing is said of its folders: %q", tt.name, p.Notes)
		}
	}
}

// TestSubPathsRefused: no folder leads out of its volume, and there is an end to them.
func TestSubPathsRefused(t *testing.T) {
	for sub, want := range map[string]string{
		`subPath: /etc`:                         `by subPath "/etc", which is no path below it`,
		`subPath: ..`:                           "which is no path below it",
		`subPath: a/../b`:                       "which is no path below it",
		`subPath: a/..`:                         "which is no path below it",
		`subPath: "a\0b"`:                       "which is no path below it",
		`subPath: ` + strings.Repeat("a", 256):  "which is no path below it",
		`subPathExpr: $(UP)/x`:                  `by subPathExpr "$(UP)/x", which is no path below it`,
		`subPathExpr: $(GONE)`:                  `has no variable "GONE"`,
		`subPathExpr: $(TOKEN)`:                 `by subPathExpr "$(TOKEN)", which is no path below it`,
		`subPath: a, subPathExpr: b`:            "by subPath and by subPathExpr",
		`subPath: ` + strings.Repeat("a/", 300): "more than 256 folders",
	} {
		for _, volume := range []string{"emptyDir: {}", "configMap: {name: settings}"} {
			spec := `{containers: [{name: c, env: [{name: UP, value: ..}, {name: TOKEN, value: /s3cret}], volumeMounts: [{name: v, mountPath: /v, ` + sub + `}]}], volumes: [{name: v, ` + volume + `}]}`
			for _, apart := range []bool{false, true} {
				_, err := readAs(t, spec, apart)
				if volume != "emptyDir: {}" && strings.HasSuffix(want, "folders") {
					want = "has nothing at subPath"
				}
				if err == nil || !strings.Contains(err.Error(), want) || fault.Hint(err) == "" {
					t.Errorf("%s, apart %t: %v, want %q and a hint", sub, apart, err, want)
				}
				if err != nil && strings.Contains(err.Error(), "s3cret") {
					t.Errorf("%s: the value of a variable is in the error", sub)
				}
			}
		}
	}
	// Every mount of a volume has the folders below it.
	var mounts strings.Builder
	for i := range 20 {
		fmt.Fprintf(&mounts, "{name: v, mountPath: /m%d}, {name: v, mountPath: /f%d, subPath: f%d}, ", i, i, i)
	}
	_, err := readAs(t, `{containers: [{name: c, volumeMounts: [`+mounts.String()+`]}], volumes: [{name: v, emptyDir: {}}]}`, true)
	if err == nil || !strings.Contains(err.Error(), "mounts more than 256") {
		t.Errorf("400 folders in a container: %v", err)
	}
}

// FuzzSubPath: whatever the manifest says, the folder is below its volume.
func FuzzSubPath(f *testing.F) {
	for _, sub := range []string{"", ".", "a/b/", "./a//b", "../a", "/a", "a/../..", "a\x00", "...", "$(UP)/$$(UP)"} {
		f.Add(sub, false)
		f.Add(sub, true)
	}
	f.Fuzz(func(t *testing.T, text string, expression bool) {
		r := &reader{pod: &corev1.Pod{}, variables: map[string]map[string]string{"c": {"UP": "..", "A": "a/b"}}}
		m := corev1.VolumeMount{Name: "v", SubPath: text}
		if expression {
			m.SubPath, m.SubPathExpr = "", text
		}
		sub, err := r.subPath(source{Container: corev1.Container{Name: "c"}}, m)
		if err == nil && sub != "" && !filepath.IsLocal(sub) {
			t.Errorf("%q is taken as %q", text, sub)
		}
		if err == nil && path.Join("/v", sub) != filepath.Clean("/v/"+sub) {
			t.Errorf("%q is taken as %q, which is not clean", text, sub)
		}
	})
}
