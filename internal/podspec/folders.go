package podspec

import (
	"maps"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

const (
	// maxFolders bounds the folders of all empty volumes of a pod.
	maxFolders = 256
	// maxMounts bounds what one container mounts.
	maxMounts = 256
	// maxPathPart is Linux's limit of a file's name, in bytes.
	maxPathPart = 255
)

// folder is a volume, or a folder of it (subPath). Each folder of an empty
// volume is one in memory of its own, which is mounted into those that it is
// below: nothing that a container writes can lead a mount elsewhere.
type folder struct{ volume, sub string }

// mount is what a container mounts at one place.
type mount struct {
	corev1.VolumeMount
	folder
	target string
}

// collect reads what each container mounts. It has to come after the variables,
// which subPathExpr uses.
func (r *reader) collect(*pod.Pod) error {
	r.mounts = map[string][]mount{}
	empty := map[folder]bool{}
	for _, s := range r.sources() {
		if len(s.VolumeDevices) > 0 {
			return r.unsupported("remove volumeDevices", "container %q wants a block device", s.Name)
		}
		for _, m := range s.VolumeMounts {
			target, err := r.target(s, m)
			if err != nil {
				return err
			}
			sub, err := r.subPath(s, m)
			if err != nil {
				return err
			}
			r.mounts[s.Name] = append(r.mounts[s.Name], mount{m, folder{m.Name, sub}, target})
			for ; sub != "" && r.isEmpty(m.Name); sub = parent(sub) {
				empty[folder{m.Name, sub}] = true
			}
			if len(empty) > maxFolders || len(r.mounts[s.Name]) > maxMounts {
				return r.tooMany(s)
			}
		}
	}
	folders := slices.SortedFunc(maps.Keys(empty), func(a, b folder) int { return strings.Compare(a.volume+"/"+a.sub, b.volume+"/"+b.sub) })
	for _, s := range r.sources() {
		all := withFolders(r.mounts[s.Name], folders)
		if len(all) > maxMounts {
			return r.tooMany(s)
		}
		r.mounts[s.Name] = all
	}
	for _, f := range folders {
		r.note("each folder of volume %s that is mounted (subPath) is a file system of its own, with a limit of its own", f.volume)
	}
	return nil
}

func (r *reader) tooMany(s source) error {
	return r.unsupported("mount fewer volumes and folders of volumes", "container %q mounts more than %d, or the pod has more than %d folders of empty volumes", s.Name, maxMounts, maxFolders)
}

func (r *reader) isEmpty(volume string) bool {
	return slices.ContainsFunc(r.pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == volume && v.EmptyDir != nil })
}

// withFolders adds to the mounts of a container the folders that are below them,
// unless the container mounts something else there. Parents come first.
func withFolders(mounts []mount, folders []folder) []mount {
	all := slices.Clone(mounts)
	for _, m := range mounts {
		for _, f := range folders {
			rest, below := strings.CutPrefix("/"+f.sub, path.Join("/", m.sub, "/"))
			if f.volume != m.volume || !below || f == m.folder || m.sub != "" && !strings.HasPrefix(rest, "/") {
				continue
			}
			target := path.Join(m.target, rest)
			hidden := slices.ContainsFunc(mounts, func(o mount) bool {
				return strings.HasPrefix(o.target, m.target+"/") && (o.target == target || strings.HasPrefix(target, o.target+"/"))
			})
			if !hidden {
				all = append(all, mount{m.VolumeMount, f, target})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b mount) int { return strings.Compare(a.target, b.target) })
	return all
}

// target is where m mounts its volume.
func (r *reader) target(s source, m corev1.VolumeMount) (string, error) {
	target := path.Clean(m.MountPath)
	if !path.IsAbs(target) || target == "/" {
		return "", r.unsupported("give an absolute path below the root", "container %q mounts %q at %q", s.Name, m.Name, m.MountPath)
	}
	return target, nil
}

// subPath is which folder of its volume m mounts, without dots; empty: all of
// it. Like the API server and the kubelet it takes no way up and none from the root.
func (r *reader) subPath(s source, m corev1.VolumeMount) (string, error) {
	sub := m.SubPath
	if m.SubPathExpr != "" {
		if sub != "" {
			return "", r.unsupported("leave one of them out", "container %q mounts volume %q by subPath and by subPathExpr", s.Name, m.Name)
		}
		var missing string
		sub = expandBy(m.SubPathExpr, func(name string) string {
			value, ok := r.variables[s.Name][name]
			if !ok {
				missing = name
			}
			return value
		})
		if missing != "" {
			return "", r.unsupported("set the variable", "container %q mounts volume %q by subPathExpr %q, and has no variable %q", s.Name, m.Name, m.SubPathExpr, missing)
		}
	}
	bad := path.IsAbs(sub) || strings.Contains(sub, "\x00") || slices.ContainsFunc(strings.Split(sub, "/"), func(part string) bool {
		return part == ".." || len(part) > maxPathPart
	})
	if bad { // the value of an expression may be a Secret's
		return "", r.unsupported("name a path below the volume, without ..", "container %q mounts volume %q by %s %q, which is no path below it", s.Name, m.Name, pathField(m), m.SubPath+m.SubPathExpr)
	}
	return strings.TrimPrefix(path.Clean("/"+sub), "/"), nil
}

func pathField(m corev1.VolumeMount) string {
	if m.SubPathExpr != "" {
		return "subPathExpr"
	}
	return "subPath"
}

// parent is the folder above sub; empty: the volume.
func parent(sub string) string {
	return strings.TrimPrefix(path.Dir("/"+sub), "/")
}
