package admission

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// Policies is what the default policy renders to, in Enforce, or so many: the
// others are each a team's, and the last of them holds for the namespace too.
func Policies(base *v1alpha1.IsolationPolicy, n int, namespace string) ([]policy.Object, error) {
	c := rules.Builtin()
	all := []*v1alpha1.IsolationPolicy{base}
	for i := 1; i < n; i++ {
		p := base.DeepCopy()
		p.Name = fmt.Sprintf("team-%03d", i)
		include := v1alpha1.NamespacePattern(p.Name)
		if i == n-1 {
			include = v1alpha1.NamespacePattern(namespace)
		}
		p.Spec.Namespaces = v1alpha1.Namespaces{Include: []v1alpha1.NamespacePattern{include}}
		all = append(all, p)
	}
	return policy.Render(policy.Input{Policies: all, Rules: c})
}

// Apply applies rendered objects of the cluster and returns when pods of the namespace are held
// to them.
func Apply(ctx context.Context, config *rest.Config, namespace string, objects []policy.Object) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	into, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	for _, o := range objects {
		if o.GetNamespace() != "" {
			continue // teams' namespaces are not there, and pods have the same token in all cases
		}
		value, err := runtime.DefaultUnstructuredConverter.ToUnstructured(o)
		if err != nil {
			return err
		}
		object := &unstructured.Unstructured{Object: value}
		gvk := object.GroupVersionKind()
		m, err := mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
		if err != nil {
			return err
		}
		var kind dynamic.ResourceInterface = into.Resource(m.Resource)
		if m.Scope.Name() == meta.RESTScopeNameNamespace {
			kind = into.Resource(m.Resource).Namespace(object.GetNamespace())
		}
		if _, err := kind.Apply(ctx, object.GetName(), object, metav1.ApplyOptions{FieldManager: "bench", Force: true}); err != nil {
			return fmt.Errorf("%s: %w", o.GetName(), err)
		}
	}
	return awaitPolicies(ctx, client, namespace)
}

// awaitPolicies creates pods until each part of the set has shown itself: a
// class is assigned, one that is too weak is denied, and so is what lacks the
// baseline.
func awaitPolicies(ctx context.Context, client kubernetes.Interface, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	try := func(alter func(*corev1.PodSpec)) (*corev1.Pod, error) {
		pod := Agent()
		alter(&pod.Spec)
		return client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	}
	for ctx.Err() == nil {
		assigned, err := try(func(*corev1.PodSpec) {})
		if err == nil && assigned.Spec.RuntimeClassName != nil {
			_, weak := try(func(s *corev1.PodSpec) { s.RuntimeClassName = new("gvisor") })
			_, bare := try(func(s *corev1.PodSpec) { s.SecurityContext = nil })
			if says(weak, "needs virtual-machine") && says(bare, "lacks") {
				return nil
			}
		}
		pause(ctx)
	}
	return errors.New("the API server does not enforce the policies")
}

func says(err error, part string) bool {
	return apierrors.IsForbidden(err) && strings.Contains(err.Error(), part)
}

// Ordinary is a pod of a web service that nothing shows to be an LLM workload:
// every rule is asked, and nothing is set.
func Ordinary() *corev1.Pod {
	probe := func(path string) *corev1.Probe {
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt32(8080)}}}
	}
	size := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi")}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-", Labels: map[string]string{"app.kubernetes.io/name": "checkout", "app.kubernetes.io/version": "1.42.0"}},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{
				Name: "checkout", Image: "registry.example/shop/checkout:1.42.0",
				Command: []string{"/usr/local/bin/checkout"}, Args: []string{"--listen=:8080", "--config=/etc/checkout/config.yaml", "--log-level=info"},
				Env: []corev1.EnvVar{
					{Name: "LOG_FORMAT", Value: "json"}, {Name: "CACHE_HOST", Value: "cache.shop.svc"}, {Name: "GOMEMLIMIT", Value: "100MiB"},
					{Name: "DATABASE_URL", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "checkout"}, Key: "url"}}},
					{Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
					{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: "http://collector.telemetry:4317"},
				},
				Ports:          []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
				ReadinessProbe: probe("/readyz"), LivenessProbe: probe("/livez"),
				Resources:    corev1.ResourceRequirements{Requests: size, Limits: size},
				VolumeMounts: []corev1.VolumeMount{{Name: "config", MountPath: "/etc/checkout"}, {Name: "tmp", MountPath: "/tmp"}},
			}, {
				Name: "proxy", Image: "registry.example/mesh/proxy:2.3", Args: []string{"sidecar", "--concurrency=2"},
				Ports: []corev1.ContainerPort{{Name: "proxy", ContainerPort: 15001}},
			}},
			Volumes: []corev1.Volume{
				{Name: "config", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "checkout"}}}},
				{Name: "tmp", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
			},
		},
	}
}

// Agent is a pod that executes code, with the baseline and without a
// RuntimeClass: one is assigned.
func Agent() *corev1.Pod {
	pod := Ordinary()
	pod.Spec.AutomountServiceAccountToken = new(false)
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
	pod.Spec.Containers[0].Image = "jupyter/base-notebook:1"
	for i := range pod.Spec.Containers {
		pod.Spec.Containers[i].SecurityContext = &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}
	}
	return pod
}

// Namespace makes a namespace, with the ServiceAccount that a controller manager
// would make.
func Namespace(ctx context.Context, client kubernetes.Interface, name string) error {
	_, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = client.CoreV1().ServiceAccounts(name).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	return err
}
