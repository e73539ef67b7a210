package podspec

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

// mounted is a volume with what has to be known of it until the pod is read.
type mounted struct {
	pod.Volume
	folder
	containers []string // who mounts it
	secrets    []string // the Secrets that its files come from
}

// volumes collects what the containers mount. They share one root file system:
// one place has one volume, and a writable volume one place.
func (r *reader) volumes(p *pod.Pod) error {
	at := map[string]*mounted{}
	placed := map[folder]string{} // where a writable volume is
	for _, s := range r.sources() {
		for _, m := range r.mounts[s.Name] {
			if v := at[m.target]; v != nil {
				if merged, err := r.merge(v, s, m, placed); err != nil {
					return err
				} else if merged {
					continue
				}
				if v.folder != m.folder {
					return r.apart("mount them at places of their own: here containers share one root file system", "volumes %q and %q are both mounted at %q", v.Name, m.volume, m.target)
				}
				v.containers = append(v.containers, s.Name)
				continue
			}
			v, err := r.volume(s, m)
			if err != nil {
				return err
			}
			if v == nil {
				continue
			}
			if other, ok := placed[m.folder]; ok && v.Scratch {
				return r.apart("mount it at the same path everywhere: here containers share one root file system", "volume %q is mounted at %q and at %q", path.Join(m.volume, m.sub), other, m.target)
			}
			v.containers = []string{s.Name}
			placed[m.folder], at[m.target] = m.target, v
		}
	}
	for _, target := range slices.Sorted(maps.Keys(at)) {
		p.Volumes = append(p.Volumes, at[target].Volume)
		r.mounted = append(r.mounted, *at[target])
	}
	return nil
}

// merge makes one folder of two empty volumes of different containers at the same
// place, such as a /tmp of each.
func (r *reader) merge(v *mounted, s source, m mount, placed map[folder]string) (bool, error) {
	if m.volume == v.Name || !v.Scratch || m.sub != "" || v.sub != "" {
		return false, nil
	}
	other, err := r.volume(s, m)
	if err != nil || other == nil || !other.Scratch {
		return false, err
	}
	if at, ok := placed[m.folder]; ok && at != v.Target {
		return false, nil // it would be at two places
	}
	placed[m.folder] = v.Target
	v.containers = append(v.containers, s.Name)
	if v.SizeBytes > 0 {
		v.SizeBytes = max(v.SizeBytes, other.SizeBytes)
		if other.SizeBytes == 0 {
			v.SizeBytes = 0
		}
	}
	r.note("what different containers mount at %s is one folder here", v.Target)
	return true, nil
}

// volume reads what m mounts; nil where it is optional and not there.
func (r *reader) volume(s source, m mount) (*mounted, error) {
	i := slices.IndexFunc(r.pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.volume })
	if i < 0 {
		return nil, r.unsupported("add it under spec.volumes", "container %q mounts volume %q, which the pod does not have", s.Name, m.volume)
	}
	from := r.pod.Spec.Volumes[i]
	v := &mounted{Volume: pod.Volume{Name: m.volume, Target: m.target}, folder: m.folder}
	if sc := r.pod.Spec.SecurityContext; sc != nil && sc.FSGroup != nil {
		gid, err := r.id("fsGroup", sc.FSGroup)
		if err != nil {
			return nil, err
		}
		v.GID = gid
	}
	if from.EmptyDir != nil {
		if m.ReadOnly {
			r.note("volume %s is writable for every container", m.volume)
		}
		return v, r.scratch(v, from)
	}
	if err := r.files(v, from); err != nil {
		return nil, err
	}
	if m.sub != "" {
		v.Files = below(v.Files, m.sub)
		if len(v.Files) == 0 {
			return nil, r.unsupported("name a file or folder of the volume", "volume %q has nothing at %s %q", m.volume, pathField(m.VolumeMount), m.SubPath+m.SubPathExpr)
		}
	}
	return v, nil
}

// below returns the files at or below sub, by their paths from there.
func below(files []pod.File, sub string) []pod.File {
	var out []pod.File
	for _, f := range files {
		if f.Path == sub {
			f.Path = ""
			return []pod.File{f}
		}
		if rest, ok := strings.CutPrefix(f.Path, sub+"/"); ok {
			f.Path = rest
			out = append(out, f)
		}
	}
	return out
}

func (r *reader) scratch(v *mounted, from corev1.Volume) error {
	v.Scratch = true
	if m := from.EmptyDir.Medium; m != "" && m != corev1.StorageMediumMemory {
		return r.unsupported("leave medium out, or write Memory", "volume %q: medium %q", v.Name, m)
	}
	if limit := from.EmptyDir.SizeLimit; limit != nil {
		if limit.Value() <= 0 {
			return r.unsupported("give a size above 0", "volume %q: sizeLimit %s", v.Name, limit)
		}
		v.SizeBytes = limit.Value()
	}
	return nil
}

// files reads the files of a ConfigMap, a Secret, the pod's own fields, or
// several of these.
func (r *reader) files(v *mounted, from corev1.Volume) error {
	where := "volume " + strconv.Quote(v.Name)
	switch {
	case from.ConfigMap != nil:
		s := from.ConfigMap
		return r.keys(v, configMap, s.Name, s.Items, s.DefaultMode, s.Optional, where)
	case from.Secret != nil:
		s := from.Secret
		return r.keys(v, secret, s.SecretName, s.Items, s.DefaultMode, s.Optional, where)
	case from.DownwardAPI != nil:
		return r.downward(v, from.DownwardAPI.Items, from.DownwardAPI.DefaultMode, where)
	case from.Projected == nil:
		return r.unsupported("mount a folder yourself with -v", "%s is none of emptyDir, configMap, secret, downwardAPI and projected", where)
	}
	for _, p := range from.Projected.Sources {
		var err error
		switch {
		case p.ConfigMap != nil:
			err = r.keys(v, configMap, p.ConfigMap.Name, p.ConfigMap.Items, from.Projected.DefaultMode, p.ConfigMap.Optional, where)
		case p.Secret != nil:
			err = r.keys(v, secret, p.Secret.Name, p.Secret.Items, from.Projected.DefaultMode, p.Secret.Optional, where)
		case p.DownwardAPI != nil:
			err = r.downward(v, p.DownwardAPI.Items, from.Projected.DefaultMode, where)
		default:
			err = r.unsupported("remove it", "%s projects what only a cluster has (a token, a bundle of certificates)", where)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// defaultFileMode is what files of a volume have unless the manifest says otherwise.
const defaultFileMode = 0o644

func (r *reader) keys(v *mounted, kind bundleKind, name string, items []corev1.KeyToPath, mode *int32, optional *bool, where string) error {
	b, err := r.bundle(kind, name, optional, where)
	if err != nil || b == nil {
		return err
	}
	if kind == secret {
		v.secrets = append(v.secrets, name)
	}
	if len(items) == 0 {
		for _, key := range slices.Sorted(maps.Keys(b)) {
			items = append(items, corev1.KeyToPath{Key: key, Path: key})
		}
	}
	for _, item := range items {
		data, ok := b[item.Key]
		if !ok {
			if isTrue(optional) {
				continue
			}
			return r.unsupported("add it, or mark the volume optional", "%s: %s %q has no key %q", where, kind, name, item.Key)
		}
		if err := r.add(v, item.Path, or(item.Mode, mode), data, where); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) downward(v *mounted, items []corev1.DownwardAPIVolumeFile, mode *int32, where string) error {
	for _, item := range items {
		var value string
		var err error
		switch {
		case item.FieldRef != nil && item.FieldRef.FieldPath == "metadata.labels":
			value = quoted(r.pod.Labels)
		case item.FieldRef != nil && item.FieldRef.FieldPath == "metadata.annotations":
			value = quoted(r.pod.Annotations)
		case item.FieldRef != nil:
			value, err = r.field(item.FieldRef.FieldPath, where)
		case item.ResourceFieldRef != nil:
			// A volume is the pod's: the reference has to name a container.
			value, err = r.resource(corev1.Container{}, item.ResourceFieldRef, where)
		default:
			err = r.unsupported("name a fieldRef", "%s: %q has no source", where, item.Path)
		}
		if err != nil {
			return err
		}
		if err := r.add(v, item.Path, or(item.Mode, mode), []byte(value), where); err != nil {
			return err
		}
	}
	return nil
}

// quoted is a map as the kubelet writes it into a file.
func quoted(m map[string]string) string {
	var lines []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		lines = append(lines, k+"="+strconv.Quote(m[k]))
	}
	return strings.Join(lines, "\n")
}

// add adds a file; the path comes from the manifest and stays below the volume.
func (r *reader) add(v *mounted, name string, mode *int32, data []byte, where string) error {
	clean := path.Clean("/" + name)[1:]
	if clean == "" || clean != path.Clean(name) || strings.Contains(name, "\x00") || slices.Contains(strings.Split(name, "/"), "..") {
		return r.unsupported("give a path below the volume", "%s: %q is no path of a file", where, name)
	}
	for _, f := range v.Files {
		if f.Path == clean || strings.HasPrefix(f.Path, clean+"/") || strings.HasPrefix(clean, f.Path+"/") {
			return r.unsupported("give each file a path of its own", "%s: %q and %q are at the same place", where, f.Path, clean)
		}
	}
	bits := int32(defaultFileMode)
	if mode != nil {
		bits = *mode
	}
	if bits < 0 || bits > 0o777 {
		return r.unsupported("give a mode between 0 and 0777", "%s: mode %o of %q", where, bits, clean)
	}
	if v.GID != nil {
		bits |= 0o440 // as the kubelet: the group of the volume may read it
	}
	v.Files = append(v.Files, pod.File{Path: clean, Mode: uint32(bits), Data: data})
	slices.SortFunc(v.Files, func(a, b pod.File) int { return cmp.Compare(a.Path, b.Path) })
	return nil
}
