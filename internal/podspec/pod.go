// Package podspec reads a Kubernetes pod as what to run on one machine: variables
// resolved, volumes as files and empty folders, one security context, actions
// of probes. It follows the kubelet where the result is the same, refuses what
// cannot be given in one sandbox, and names in Notes what is given differently.
// It does no I/O.
package podspec

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

// New reads a pod, whose containers share one root file system, user and
// processes, or are apart. objects are what it may refer to. Errors say which
// field cannot be honoured, and carry a hint. They are pod.ErrTogether where the
// containers only have to be apart.
func New(manifest *corev1.Pod, objects Objects, apart bool) (*pod.Pod, error) {
	r := &reader{pod: manifest, objects: objects}
	if err := r.refuse(); err != nil {
		return nil, err
	}
	p := &pod.Pod{
		Apart: apart, Name: manifest.Name, Hostname: cmp.Or(manifest.Spec.Hostname, firstLabel(manifest.Name)), Restart: pod.Restart(manifest.Spec.RestartPolicy), Grace: 30 * time.Second,
	}
	if g := manifest.Spec.TerminationGracePeriodSeconds; g != nil {
		p.Grace = seconds(*g)
	}
	if d := manifest.Spec.ActiveDeadlineSeconds; d != nil {
		p.Deadline = seconds(*d)
	}
	for _, a := range manifest.Spec.HostAliases {
		for _, name := range a.Hostnames {
			p.HostAliases = append(p.HostAliases, a.IP+" "+name)
		}
	}
	steps := []func(*pod.Pod) error{r.containers, r.collect, r.security, r.volumes, r.shared}
	if apart {
		steps = []func(*pod.Pod) error{r.containers, r.collect, r.ownSecurity, r.ownVolumes}
	}
	for _, step := range steps {
		if err := step(p); err != nil {
			return nil, err
		}
	}
	p.Notes = r.notes
	return p, nil
}

// reader turns one pod into a Pod.
type reader struct {
	pod     *corev1.Pod
	objects Objects
	notes   []string
	// secrets are, for each container, the Secrets that reach it as variables.
	secrets map[string][]string
	// variables are those of each container, and mounts what it mounts.
	variables map[string]map[string]string
	mounts    map[string][]mount
	mounted   []mounted // the pod's volumes
}

func (r *reader) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(r.notes, n) {
		r.notes = append(r.notes, n)
	}
}

func (r *reader) unsupported(hint, format string, args ...any) error {
	return fault.WithHint(fmt.Errorf("pod %q cannot be run here: %s", r.pod.Name, fmt.Sprintf(format, args...)), hint)
}

// apart is unsupported where only containers that share one sandbox's root file
// system, user and processes cannot have it.
func (r *reader) apart(hint, format string, args ...any) error {
	return fault.WithHint(together{r.unsupported("", format, args...)}, hint)
}

// together is a pod.ErrTogether with its own words.
type together struct{ error }

func (t together) Unwrap() error        { return t.error }
func (t together) Is(target error) bool { return target == pod.ErrTogether }

// source is a container of the manifest and its role.
type source struct {
	corev1.Container
	role pod.Role
}

// sources lists the containers in the order in which they start.
func (r *reader) sources() []source {
	var out []source
	for _, c := range r.pod.Spec.InitContainers {
		role := pod.Init
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			role = pod.Sidecar
		}
		out = append(out, source{c, role})
	}
	for _, c := range r.pod.Spec.Containers {
		out = append(out, source{c, pod.Main})
	}
	return out
}

func (r *reader) containers(p *pod.Pod) error {
	if len(r.pod.Spec.Containers) == 0 {
		return r.unsupported("add one under spec.containers", "it has no containers")
	}
	r.secrets, r.variables = map[string][]string{}, map[string]map[string]string{}
	seen := map[string]bool{}
	for _, s := range r.sources() {
		if seen[s.Name] || s.Name == "" {
			return r.unsupported("give each container a name of its own", "two containers are named %q", s.Name)
		}
		seen[s.Name] = true
		c, err := r.container(s)
		if err != nil {
			return err
		}
		p.Containers = append(p.Containers, c)
	}
	p.Default = r.defaultContainer(seen)
	return nil
}

// defaultAnnotation names the container that kubectl means.
const defaultAnnotation = "kubectl.kubernetes.io/default-container"

// defaultContainer is the container that commands mean unless they name one.
func (r *reader) defaultContainer(all map[string]bool) string {
	first, named := r.pod.Spec.Containers[0].Name, r.pod.Annotations[defaultAnnotation]
	if named == "" || all[named] {
		return cmp.Or(named, first)
	}
	r.note("annotation %s names no container of the pod: %s is the default", defaultAnnotation, first)
	return first
}

func (r *reader) container(s source) (pod.Container, error) {
	c := pod.Container{Name: s.Name, Role: s.role, Image: s.Image, Pull: pod.Pull(s.ImagePullPolicy), Dir: s.WorkingDir, Limits: limits(s.Resources.Limits)}
	env, err := r.environment(s.Container)
	if err != nil {
		return c, err
	}
	c.Env, r.variables[s.Name] = env.list(), env.values
	c.Command, c.Args = expandAll(s.Command, env.values), expandAll(s.Args, env.values)
	return c, r.actions(&c, s)
}

func seconds[T int32 | int64](n T) time.Duration {
	const most = int64(1<<63-1) / int64(time.Second)
	return time.Duration(min(max(int64(n), 0), most)) * time.Second
}

// firstLabel is a pod's name as a host name: at most 63 characters.
func firstLabel(name string) string {
	return name[:min(len(name), 63)]
}

// limits are those of one container.
func limits(list corev1.ResourceList) pod.Limits {
	if len(list) == 0 {
		return nil
	}
	out := pod.Limits{}
	for name, quantity := range list {
		out[string(name)] = quantity.Value()
		if name == corev1.ResourceCPU {
			out[string(name)] = quantity.MilliValue()
		}
	}
	return out
}
