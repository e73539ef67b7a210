package podspec

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

// ownVolumes collects what each container mounts, where each has a root file
// system of its own. An empty folder with several mounts is one for all of them.
func (r *reader) ownVolumes(p *pod.Pod) error {
	mounts := map[string]int{} // of each empty folder
	for i, s := range r.sources() {
		if len(s.VolumeDevices) > 0 {
			return r.unsupported("remove volumeDevices", "container %q wants a block device", s.Name)
		}
		own := &p.Containers[i].Own
		for _, m := range s.VolumeMounts {
			v, err := r.ownVolume(s, m)
			if err != nil {
				return err
			}
			if v == nil {
				continue
			}
			if slices.ContainsFunc(own.Volumes, func(has pod.Volume) bool { return has.Target == v.Target }) {
				return r.unsupported("mount each at a place of its own", "container %q mounts two volumes at %q", s.Name, v.Target)
			}
			if v.Scratch {
				mounts[v.Name]++
			}
			own.Volumes = append(own.Volumes, *v)
		}
	}
	for i := range p.Containers {
		for j := range p.Containers[i].Own.Volumes {
			v := &p.Containers[i].Own.Volumes[j]
			v.Shared = mounts[v.Name] > 1
		}
	}
	return nil
}

// ownVolume reads what m mounts; nil where it is optional and not there.
func (r *reader) ownVolume(s source, m corev1.VolumeMount) (*pod.Volume, error) {
	target, err := r.target(s, m)
	if err != nil {
		return nil, err
	}
	v, err := r.volume(s, m)
	if err != nil || v == nil {
		return nil, err
	}
	if v.Scratch && m.SubPath != "" {
		return nil, r.unsupported("mount the whole folder, or give each folder an emptyDir of its own", "container %q mounts folder %q of volume %q, which is empty", s.Name, m.SubPath, m.Name)
	}
	v.Target = target
	return &v.Volume, nil
}
