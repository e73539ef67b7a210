// Package isolation holds what package policy renders against a real API server.
package isolation

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/test/cluster/apiserver"
)

// cluster is an API server of one test, seen by its administrator.
type cluster struct {
	server   *apiserver.Server
	config   *rest.Config
	client   *kubernetes.Clientset
	dynamic  *dynamic.DynamicClient
	mapper   *restmapper.DeferredDiscoveryRESTMapper
	warnings *warnings
	canaries int // that were applied
}

// warnings keeps what the API server warned about since it was last asked.
type warnings struct {
	mu   sync.Mutex
	text []string
}

// HandleWarningHeader keeps a warning.
func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

func (w *warnings) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := w.text
	w.text = nil
	return out
}

// start runs an API server that ends with the test, with Bulkhead's CRDs. It gets
// the flags too. Tests that have one run beside each other.
func start(t *testing.T, flags ...string) *cluster {
	t.Helper()
	t.Parallel()
	return launch(t, flags...)
}

// launch is start for a second API server of a test.
func launch(t *testing.T, flags ...string) *cluster {
	t.Helper()
	bin, err := apiserver.Build(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	s, err := apiserver.Start(t.Context(), bin, t.TempDir(), flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{server: s, config: config}
	c.connect(t)
	c.applyCRDs(t, "../../../deploy/crds")
	return c
}

// connect makes the clients of a configuration.
func (c *cluster) connect(t *testing.T) {
	t.Helper()
	var err error
	c.config.QPS, c.config.Burst = -1, -1
	c.warnings = &warnings{}
	c.config.WarningHandler = c.warnings
	if c.client, err = kubernetes.NewForConfig(c.config); err != nil {
		t.Fatal(err)
	}
	if c.dynamic, err = dynamic.NewForConfig(c.config); err != nil {
		t.Fatal(err)
	}
	c.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(c.client.Discovery()))
}

// applyCRDs applies the CRDs of a folder, and returns when they are served.
func (c *cluster) applyCRDs(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no CRDs: %v", err)
	}
	for _, file := range files {
		var object map[string]any
		readYAML(t, file, &object)
		crd := &unstructured.Unstructured{Object: object}
		if err := c.apply(t.Context(), crd); err != nil {
			t.Fatal(err)
		}
		c.await(t, "CRD "+crd.GetName()+" is established", func(ctx context.Context) (bool, error) {
			resource, err := c.resource(crd)
			if err != nil {
				return false, err
			}
			now, err := resource.Get(ctx, crd.GetName(), metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			conditions, _, _ := unstructured.NestedSlice(now.Object, "status", "conditions")
			for _, condition := range conditions {
				if c := condition.(map[string]any); c["type"] == "Established" {
					return c["status"] == "True", nil
				}
			}
			return false, nil
		})
		kind, _, _ := unstructured.NestedString(object, "spec", "names", "kind")
		group, _, _ := unstructured.NestedString(object, "spec", "group")
		c.await(t, kind+" is served", func(context.Context) (bool, error) {
			c.mapper.Reset()
			_, err := c.mapper.RESTMapping(schema.GroupKind{Group: group, Kind: kind})
			if meta.IsNoMatchError(err) {
				return false, nil // discovery follows the condition
			}
			return err == nil, err
		})
	}
}

// resource is where objects such as o are kept.
func (c *cluster) resource(o *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := o.GroupVersionKind()
	m, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, err
	}
	if m.Scope.Name() == meta.RESTScopeNameRoot {
		return c.dynamic.Resource(m.Resource), nil
	}
	return c.dynamic.Resource(m.Resource).Namespace(o.GetNamespace()), nil
}

// apply is server-side apply.
func (c *cluster) apply(ctx context.Context, o *unstructured.Unstructured, dryRun ...string) error {
	resource, err := c.resource(o)
	if err != nil {
		return err
	}
	_, err = resource.Apply(ctx, o.GetName(), o, metav1.ApplyOptions{FieldManager: "test", Force: true, DryRun: dryRun})
	return err
}

// await polls until done, three minutes at most. What the API server does not know yet
// is no failure.
func (c *cluster) await(t *testing.T, what string, done func(context.Context) (bool, error)) {
	t.Helper()
	c.awaitFor(t, 3*time.Minute, what, done) // a machine may be busy with other tests
}

func (c *cluster) awaitFor(t *testing.T, limit time.Duration, what string, done func(context.Context) (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		ok, err := done(ctx)
		if ok {
			return
		}
		if err != nil && !apierrors.IsNotFound(err) && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%s: %v", what, err)
		}
		last = err
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within %s: %s (%v)", limit, what, last)
		}
	}
}

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
