package podspec

import (
	"cmp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulkhead-dev/bulkhead/internal/pod"
)

func (r *reader) actions(c *pod.Container, s source) (err error) {
	if c.Startup, err = r.probe(s, "startupProbe", s.StartupProbe); err != nil {
		return err
	}
	if c.Readiness, err = r.probe(s, "readinessProbe", s.ReadinessProbe); err != nil {
		return err
	}
	if c.Liveness, err = r.probe(s, "livenessProbe", s.LivenessProbe); err != nil {
		return err
	}
	if s.role == pod.Init && (c.Startup != nil || c.Readiness != nil || c.Liveness != nil || s.Lifecycle != nil) {
		return r.unsupported("remove them, or make it a sidecar (restartPolicy: Always)", "init container %q has probes or a lifecycle", s.Name)
	}
	if s.Lifecycle == nil {
		return nil
	}
	if c.PostStart, err = r.hook(s, "postStart", s.Lifecycle.PostStart); err != nil {
		return err
	}
	c.PreStop, err = r.hook(s, "preStop", s.Lifecycle.PreStop)
	return err
}

func (r *reader) probe(s source, field string, p *corev1.Probe) (*pod.Probe, error) {
	if p == nil {
		return nil, nil
	}
	if p.GRPC != nil {
		return nil, r.unsupported("use httpGet, tcpSocket or exec", "%s of container %q speaks gRPC", field, s.Name)
	}
	out := &pod.Probe{
		Delay:   seconds(p.InitialDelaySeconds),
		Period:  cmp.Or(seconds(p.PeriodSeconds), 10*time.Second),
		Timeout: cmp.Or(seconds(p.TimeoutSeconds), time.Second),
		Success: cmp.Or(max(int(p.SuccessThreshold), 0), 1),
		Failure: cmp.Or(max(int(p.FailureThreshold), 0), 3),
	}
	var err error
	out.Action, err = r.action(s, field, p.Exec, p.HTTPGet, p.TCPSocket)
	return out, err
}

func (r *reader) hook(s source, field string, h *corev1.LifecycleHandler) (*pod.Action, error) {
	if h == nil {
		return nil, nil
	}
	if h.Sleep != nil {
		return &pod.Action{Sleep: seconds(h.Sleep.Seconds)}, nil
	}
	a, err := r.action(s, field, h.Exec, h.HTTPGet, h.TCPSocket)
	return &a, err
}

func (r *reader) action(s source, field string, exec *corev1.ExecAction, get *corev1.HTTPGetAction, tcp *corev1.TCPSocketAction) (pod.Action, error) {
	switch {
	case exec != nil && len(exec.Command) > 0:
		return pod.Action{Exec: exec.Command}, nil
	case get != nil:
		port, err := r.port(s, field, get.Port)
		if err != nil {
			return pod.Action{}, err
		}
		if err := r.ownHost(s, field, get.Host); err != nil {
			return pod.Action{}, err
		}
		h := &pod.HTTP{TLS: get.Scheme == corev1.URISchemeHTTPS, Port: port, Path: "/" + strings.TrimPrefix(get.Path, "/")}
		for _, header := range get.HTTPHeaders {
			if strings.EqualFold(header.Name, "Host") {
				h.Host = header.Value
				continue
			}
			h.Headers = append(h.Headers, [2]string{header.Name, header.Value})
		}
		return pod.Action{HTTP: h}, nil
	case tcp != nil:
		port, err := r.port(s, field, tcp.Port)
		if err != nil {
			return pod.Action{}, err
		}
		return pod.Action{Port: port}, r.ownHost(s, field, tcp.Host)
	}
	return pod.Action{}, r.unsupported("give it exec, httpGet or tcpSocket", "%s of container %q does nothing", field, s.Name)
}

// ownHost refuses a probe of anything but the pod: it would be sent from this
// machine, at the word of the manifest.
func (r *reader) ownHost(s source, field, host string) error {
	if host == "" || host == "localhost" || host == loopback {
		return nil
	}
	return r.unsupported("leave host out", "%s of container %q asks %q, which is not the pod", field, s.Name, host)
}

// port resolves a number or the name of a port of the container.
func (r *reader) port(s source, field string, p intstr.IntOrString) (int, error) {
	if p.Type == intstr.Int && p.IntValue() > 0 && p.IntValue() < 1<<16 {
		return p.IntValue(), nil
	}
	for _, named := range s.Ports {
		if p.Type == intstr.String && named.Name == p.StrVal {
			return int(named.ContainerPort), nil
		}
	}
	if n := p.IntValue(); p.Type == intstr.String && n > 0 && n < 1<<16 {
		return n, nil
	}
	return 0, r.unsupported("name a port of the container, or give its number", "%s of container %q: there is no port %q", field, s.Name, p.String())
}
