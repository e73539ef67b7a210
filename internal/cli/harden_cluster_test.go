package cli

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/console"
)

// apiServer is one that has two kinds: RuntimeClasses and nodes.
func apiServer(t *testing.T, classes, nodes string) (kubeconfig string) {
	t.Helper()
	resources := func(group, name, kind string) string {
		return fmt.Sprintf(`{"kind":"APIResourceList","groupVersion":%q,"resources":[{"name":%q,"kind":%q,"namespaced":false,"verbs":["list"]}]}`, group, name, kind)
	}
	answers := map[string]string{
		"/api":                                `{"kind":"APIVersions","versions":["v1"]}`,
		"/apis":                               `{"kind":"APIGroupList","groups":[{"name":"node.k8s.io","versions":[{"groupVersion":"node.k8s.io/v1","version":"v1"}],"preferredVersion":{"groupVersion":"node.k8s.io/v1","version":"v1"}}]}`,
		"/api/v1":                             resources("v1", "nodes", "Node"),
		"/apis/node.k8s.io/v1":                resources("node.k8s.io/v1", "runtimeclasses", "RuntimeClass"),
		"/api/v1/nodes":                       `{"kind":"NodeList","apiVersion":"v1","items":[` + nodes + `]}`,
		"/apis/node.k8s.io/v1/runtimeclasses": `{"kind":"RuntimeClassList","apiVersion":"node.k8s.io/v1","items":[` + classes + `]}`,
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		answer, ok := answers[r.URL.Path]
		if !ok || strings.Contains(answer, "FORBIDDEN") {
			w.WriteHeader(http.StatusForbidden)
			answer = `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"no"}`
		}
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\nclusters: [{name: c, cluster: {server: %q}}]\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n", server.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// TestHardenAsksTheCluster: what the RuntimeClass of a workload needs of the cluster
// first is a finding, and no more than the cluster shows is said.
func TestHardenAsksTheCluster(t *testing.T) {
	const (
		pod   = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {app: a, bulkhead.dev/risk-class: retrieval}}\nspec: {containers: [{name: a, image: b}]}\n"
		class = `{"kind":"RuntimeClass","apiVersion":"node.k8s.io/v1","metadata":{"name":"gvisor"},"handler":"runsc"}`
		node  = `{"kind":"Node","apiVersion":"v1","metadata":{"name":"n"},"status":{"runtimeHandlers":[{"name":""},{"name":%q}]}}`
	)
	absent, handler := "the cluster has no RuntimeClass gvisor", "no node of the cluster has the handler runsc of RuntimeClass gvisor"
	for _, c := range []struct {
		name, more, classes, nodes string
		want                       string // of the findings about the cluster
		code                       int
	}{
		{"it is there", "", class, fmt.Sprintf(node, "runsc"), "", 0},
		{"no class", "", "", fmt.Sprintf(node, "runsc"), absent, 0},
		{"no handler", "", class, fmt.Sprintf(node, "kata"), handler, 0},
		{"a node that does not tell", "", class, fmt.Sprintf(node, "kata") + `,{"kind":"Node","apiVersion":"v1","metadata":{"name":"old"}}`, "", 0},
		{"a class of the input", "---\napiVersion: node.k8s.io/v1\nkind: RuntimeClass\nmetadata: {name: gvisor}\nhandler: runsc\n", "", fmt.Sprintf(node, "runsc"), "", 0},
		{"what may not be listed is not known", "", "FORBIDDEN", fmt.Sprintf(node, "runsc"), "", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "a.yaml")
			if err := os.WriteFile(file, []byte(pod+c.more), 0o600); err != nil {
				t.Fatal(err)
			}
			var out, errs bytes.Buffer
			code := Main(t.Context(), []string{"harden", "--cluster", "--kubeconfig", apiServer(t, c.classes, c.nodes), file}, console.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
			said := strings.Join(strings.Fields(errs.String()), " ")
			if code != c.code {
				t.Errorf("code %d, want %d: %s", code, c.code, said)
			}
			for _, message := range []string{absent, handler} {
				if strings.Contains(said, message) != (message == c.want) {
					t.Errorf("%q: said is\n%s", message, errs.String())
				}
			}
			if proved := strings.Contains(said, "its name alone proves nothing"); c.name == "it is there" && proved {
				t.Errorf("what the cluster shows is not known:\n%s", errs.String())
			}
		})
	}
}
