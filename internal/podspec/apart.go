package podspec

import (
	"slices"
	"strconv"

	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

// ownVolumes collects what each container mounts, where each has a root file
// system of its own. An empty folder with several mounts is one for all of them.
func (r *reader) ownVolumes(p *pod.Pod) error {
	count := map[folder]int{} // mounts of each empty folder
	for i, s := range r.sources() {
		own := &p.Containers[i].Own
		for _, m := range r.mounts[s.Name] {
			v, err := r.volume(s, m)
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
				count[m.folder]++
			}
			own.Volumes = append(own.Volumes, v.Volume)
			r.mounted = append(r.mounted, *v)
		}
	}
	names := map[folder]string{}
	next := 0
	for i := range p.Containers {
		for j := range p.Containers[i].Own.Volumes {
			f := r.mounted[next].folder
			next++
			if count[f] < 2 {
				continue
			}
			if names[f] == "" {
				names[f] = "folder-" + strconv.Itoa(len(names))
			}
			p.Containers[i].Own.Volumes[j].Shared = names[f]
		}
	}
	return nil
}
