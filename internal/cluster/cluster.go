// Package cluster reads the objects of a live cluster that say what workloads
// are: only kinds that the server has, page by page, and without what their
// controllers made of them. It only lists.
package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/pager"
	"sigs.k8s.io/yaml"
)

// Request says what to read, and from where.
type Request struct {
	Kubeconfig string // "" is what kubectl would use
	Context    string // "" is the current one
	Namespace  string // "" is every one
	// Workloads are the kinds that make pods; Around those that say more about them.
	Workloads, Around []schema.GroupKind
}

// Sink takes what is read. Its methods are called from one goroutine.
type Sink interface {
	// Object takes one object as YAML; name says where it is in the cluster.
	Object(name, text string) error
	// Problem takes what could not be read; the rest is still read.
	Problem(of, reason, hint string) error
}

// pageSize is how many objects one request returns.
const pageSize = 500

// Read lists every kind. Its error is of the sink or the configuration; what a
// cluster refuses, or that it is away, is told to the sink.
func Read(ctx context.Context, req Request, sink Sink) error {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = req.Kubeconfig
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: req.Context}).ClientConfig()
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	config.QPS, config.Burst = 50, 100
	config.UserAgent = "bulkhead"
	found, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	// Kinds of an aggregated server that is away are left out, and told.
	lists, err := found.ServerPreferredResources()
	var partly *discovery.ErrGroupDiscoveryFailed
	switch {
	case errors.As(err, &partly):
		if err := sink.Problem("", err.Error(), "mend or remove the APIService: its kinds are not read"); err != nil {
			return err
		}
	case err != nil:
		return sink.Problem("", fmt.Sprintf("the cluster at %s does not answer: %v", config.Host, err), "check it with `kubectl version`, or choose another with --context")
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	r := &reading{req, client, sink, map[types.UID]bool{}}
	return r.all(ctx, kinds(lists))
}

// reading is one run over a cluster.
type reading struct {
	Request
	client  dynamic.Interface
	sink    Sink
	covered map[types.UID]bool // workloads that were read, or belong to one
}

// kind is one that the server has.
type kind struct {
	schema.GroupVersionResource
	kind       string
	namespaced bool
}

// kinds returns what the server has and lists, by group and kind.
func kinds(lists []*metav1.APIResourceList) map[schema.GroupKind]kind {
	out := map[schema.GroupKind]kind{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			continue
		}
		for _, res := range list.APIResources {
			if slices.Contains(res.Verbs, "list") && !strings.Contains(res.Name, "/") {
				out[schema.GroupKind{Group: gv.Group, Kind: res.Kind}] = kind{gv.WithResource(res.Name), res.Kind, res.Namespaced}
			}
		}
	}
	return out
}

// all reads the kinds in an order in which owners come before what they own:
// kinds of others, whose controllers make built-in ones, then those from the top
// down. What the first own among themselves is sorted out in memory.
func (r *reading) all(ctx context.Context, has map[schema.GroupKind]kind) error {
	for _, gk := range r.Around {
		if k, ok := has[gk]; ok {
			if err := r.list(ctx, k, r.write); err != nil {
				return err
			}
		}
	}
	builtin := []schema.GroupKind{
		{Group: "batch", Kind: "CronJob"}, {Group: "apps", Kind: "Deployment"}, {Group: "apps", Kind: "StatefulSet"}, {Group: "apps", Kind: "DaemonSet"},
		{Group: "batch", Kind: "Job"}, {Group: "apps", Kind: "ReplicaSet"}, {Kind: "ReplicationController"}, {Kind: "Pod"},
	}
	var others []*unstructured.Unstructured
	for _, gk := range r.Workloads {
		if k, ok := has[gk]; ok && !slices.Contains(builtin, gk) {
			err := r.list(ctx, k, func(o *unstructured.Unstructured) error {
				strip(o)
				others = append(others, o)
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	if err := r.tops(others); err != nil {
		return err
	}
	for _, gk := range builtin {
		if k, ok := has[gk]; ok && slices.Contains(r.Workloads, gk) {
			if err := r.list(ctx, k, r.top); err != nil {
				return err
			}
		}
	}
	return nil
}

// tops writes those of which no other is the owner.
func (r *reading) tops(objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		r.covered[o.GetUID()] = true
	}
	for _, o := range objects {
		if !r.owned(o) {
			if err := r.write(o); err != nil {
				return err
			}
		}
	}
	return nil
}

// top writes a workload unless one that was read made it.
func (r *reading) top(o *unstructured.Unstructured) error {
	owned := r.owned(o)
	r.covered[o.GetUID()] = true
	if owned {
		return nil
	}
	return r.write(o)
}

func (r *reading) owned(o *unstructured.Unstructured) bool {
	return slices.ContainsFunc(o.GetOwnerReferences(), func(ref metav1.OwnerReference) bool {
		return ref.Controller != nil && *ref.Controller && ref.UID != o.GetUID() && r.covered[ref.UID]
	})
}

// write gives an object to the sink.
func (r *reading) write(o *unstructured.Unstructured) error {
	strip(o)
	text, err := yaml.Marshal(o.Object)
	if err != nil {
		return fmt.Errorf("writing %s: %w", o.GetName(), err)
	}
	return r.sink.Object(fmt.Sprintf("cluster:%s/%s/%s", cmp.Or(o.GetNamespace(), "-"), o.GetKind(), o.GetName()), string(text))
}

// strip takes away what is not the manifest: what the server and kubectl keep
// about it, its status, and copies of it. A node keeps the handlers that it has.
func strip(o *unstructured.Unstructured) {
	o.SetManagedFields(nil)
	handlers, _, _ := unstructured.NestedFieldNoCopy(o.Object, "status", "runtimeHandlers")
	unstructured.RemoveNestedField(o.Object, "status")
	if handlers != nil && o.GetKind() == "Node" {
		o.Object["status"] = map[string]any{"runtimeHandlers": handlers}
	}
	notes := o.GetAnnotations()
	delete(notes, "kubectl.kubernetes.io/last-applied-configuration")
	if len(notes) == 0 {
		notes = nil
	}
	o.SetAnnotations(notes)
}

// list calls each with every object of a kind. A refusal is told to the sink.
func (r *reading) list(ctx context.Context, k kind, each func(*unstructured.Unstructured) error) error {
	var from dynamic.ResourceInterface = r.client.Resource(k.GroupVersionResource)
	if k.namespaced && r.Namespace != "" {
		from = r.client.Resource(k.GroupVersionResource).Namespace(r.Namespace)
	}
	pages := pager.New(func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
		return from.List(ctx, opts)
	})
	pages.PageSize = pageSize
	var own error // of each, not of the cluster
	err := pages.EachListItem(ctx, metav1.ListOptions{}, func(item runtime.Object) error {
		o, ok := item.(*unstructured.Unstructured)
		if !ok {
			return nil
		}
		o.SetAPIVersion(k.GroupVersion().String())
		o.SetKind(k.kind)
		own = each(o)
		return own
	})
	switch {
	case err == nil:
		return nil
	case own != nil:
		return own
	}
	resource := k.GroupResource().String()
	hint := "check it with `kubectl get " + resource + "`"
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		hint = fmt.Sprintf("let this account list %s, or choose a namespace with -n or another account with --context", resource)
	}
	if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return nil // the kind went away meanwhile
	}
	return r.sink.Problem(resource, fmt.Sprintf("cannot list %s: %v", resource, err), hint)
}
