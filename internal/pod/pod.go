// Package pod reads a Kubernetes pod as what to run on one machine: variables
// resolved, volumes as files and empty folders, one security context, actions
// of probes. It follows the kubelet where the result is the same, refuses what
// cannot be given in one sandbox, and names in Notes what is given differently.
// It does no I/O.
package pod

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
)

// Pod is a pod as one sandbox runs it. All its containers share the sandbox's
// root file system, user and processes.
type Pod struct {
	Name string `json:"name"`
	// Containers are the init containers in their order, then the others.
	Containers []Container `json:"containers"`
	Volumes    []Volume    `json:"volumes,omitempty"`
	Security   Security    `json:"security"`
	// Hostname inside; empty: the caller's choice.
	Hostname string `json:"hostname,omitempty"`
	// HostAliases are lines for /etc/hosts.
	HostAliases []string `json:"hostAliases,omitempty"`
	// Restart is what happens when a container ends; empty where the manifest
	// leaves it open.
	Restart corev1.RestartPolicy `json:"restart,omitempty"`
	// Grace is what containers have between SIGTERM and their end.
	Grace time.Duration `json:"grace"`
	// Deadline bounds the pod's life; 0: unbounded.
	Deadline time.Duration `json:"deadline,omitempty"`
	// Notes say what of the manifest is given differently or not at all.
	Notes []string `json:"notes,omitempty"`
}

// Role is when a container runs.
type Role string

const (
	// Init runs to its end before the next container starts.
	Init Role = "init"
	// Sidecar is an init container that goes on beside the main ones, and ends
	// after them.
	Sidecar Role = "sidecar"
	// Main is a container of the pod itself.
	Main Role = "main"
)

// Container is one command of a pod.
type Container struct {
	Name  string `json:"name"`
	Role  Role   `json:"role"`
	Image string `json:"image"`
	// Pull is its pull policy; empty where the manifest leaves it open.
	Pull corev1.PullPolicy `json:"pull,omitempty"`
	// Command replaces the image's entry point, Args the image's arguments.
	Command []string `json:"command,omitempty"`
	Args    []string `json:"args,omitempty"`
	// Env (K=V) is what the manifest adds to the image's, each name once.
	Env []string `json:"env,omitempty"`
	// Dir is the working directory; empty: the image's.
	Dir string `json:"dir,omitempty"`

	Startup   *Probe `json:"startup,omitempty"`
	Readiness *Probe `json:"readiness,omitempty"`
	Liveness  *Probe `json:"liveness,omitempty"`
	// PostStart runs once the container was started, PreStop before it is ended.
	PostStart *Action `json:"postStart,omitempty"`
	PreStop   *Action `json:"preStop,omitempty"`

	Limits corev1.ResourceList `json:"limits,omitempty"`
}

// New reads a pod. objects are what it may refer to. Errors say which field
// cannot be honoured, and carry a hint.
func New(pod *corev1.Pod, objects Objects) (*Pod, error) {
	r := &reader{pod: pod, objects: objects}
	if err := r.refuse(); err != nil {
		return nil, err
	}
	p := &Pod{
		Name: pod.Name, Hostname: cmp.Or(pod.Spec.Hostname, firstLabel(pod.Name)), Restart: pod.Spec.RestartPolicy, Grace: 30 * time.Second,
	}
	if g := pod.Spec.TerminationGracePeriodSeconds; g != nil {
		p.Grace = seconds(*g)
	}
	if d := pod.Spec.ActiveDeadlineSeconds; d != nil {
		p.Deadline = seconds(*d)
	}
	for _, a := range pod.Spec.HostAliases {
		for _, name := range a.Hostnames {
			p.HostAliases = append(p.HostAliases, a.IP+" "+name)
		}
	}
	for _, step := range []func(*Pod) error{r.containers, r.security, r.volumes, r.shared} {
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
}

func (r *reader) note(format string, args ...any) {
	if n := fmt.Sprintf(format, args...); !slices.Contains(r.notes, n) {
		r.notes = append(r.notes, n)
	}
}

func (r *reader) unsupported(hint, format string, args ...any) error {
	return fault.WithHint(fmt.Errorf("pod %q cannot be run here: %s", r.pod.Name, fmt.Sprintf(format, args...)), hint)
}

// source is a container of the manifest and its role.
type source struct {
	corev1.Container
	role Role
}

// sources lists the containers in the order in which they start.
func (r *reader) sources() []source {
	var out []source
	for _, c := range r.pod.Spec.InitContainers {
		role := Init
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			role = Sidecar
		}
		out = append(out, source{c, role})
	}
	for _, c := range r.pod.Spec.Containers {
		out = append(out, source{c, Main})
	}
	return out
}

func (r *reader) containers(p *Pod) error {
	if len(r.pod.Spec.Containers) == 0 {
		return r.unsupported("add one under spec.containers", "it has no containers")
	}
	r.secrets = map[string][]string{}
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
	return nil
}

func (r *reader) container(s source) (Container, error) {
	c := Container{Name: s.Name, Role: s.role, Image: s.Image, Pull: s.ImagePullPolicy, Dir: s.WorkingDir, Limits: s.Resources.Limits}
	env, err := r.environment(s.Container)
	if err != nil {
		return c, err
	}
	c.Env = env.list()
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
