package decide_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/risk"
)

const settled = `apiVersion: v1
kind: ConfigMap
metadata: {name: c, namespace: ns}
data:
  LOG_LEVEL: info
  SERVERS: http://x
  TRANSPORT: streamable-http
---
apiVersion: v1
kind: Secret
metadata: {name: s, namespace: ns}
stringData:
  SHELLCTL_AUTH_TOKEN: secret-value
---
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {JUPYTER_TOKEN: x}
---
apiVersion: v1
kind: Pod
metadata: {name: p, namespace: ns}
spec:
  automountServiceAccountToken: false
  containers:
    - {name: a, image: nginx, env: [{name: A, value: b}]}
    - {name: b, image: nginx, env: [{name: A, value: b}], envFrom: [%s]}
`

func TestVariablesFromOtherObjects(t *testing.T) {
	for _, tt := range []struct {
		name, from string
		class      risk.Class
		evidence   []string
	}{
		{"no source", "", risk.None, nil},
		{"a value of a ConfigMap", "{configMapRef: {name: c}}", risk.ToolCalling, []string{"mcp-transport ConfigMap/c data.TRANSPORT:7"}},
		{"a name of a Secret", "{secretRef: {name: s}}", risk.CodeExecution, []string{"execution-service Secret/s stringData.SHELLCTL_AUTH_TOKEN:13"}},
		{"a prefix", "{prefix: MCP_, configMapRef: {name: c}}", risk.ToolCalling, []string{"tool-settings ConfigMap/c data.SERVERS:6", "mcp-transport ConfigMap/c data.LOG_LEVEL:5", "mcp-transport ConfigMap/c data.TRANSPORT:7"}},
		{"not in the input", "{configMapRef: {name: d}}, {secretRef: {name: c}}", risk.None, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			row := only(t, config.Default(), fmt.Sprintf(settled, tt.from))
			var got []string
			for _, e := range row.Evidence {
				got = append(got, fmt.Sprintf("%s %s %s:%d", e.Rule, e.Object, e.Path, e.Line))
				if strings.Contains(e.Value, "secret-value") {
					t.Errorf("evidence shows a secret: %q", e.Value)
				}
			}
			if row.RiskClass != tt.class {
				t.Errorf("class %s, want %s", row.RiskClass, tt.class)
			}
			if diff := cmp.Diff(tt.evidence, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// Of several ConfigMaps of one name (a folder of overlays) all count, whatever
// their order: as variables and as files.
func TestConfigMapsOfOneNameAllCount(t *testing.T) {
	const harmless = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {LOG_LEVEL: info}\n---\n"
	for _, tt := range []struct{ name, data, container string }{
		{"variables", "{TRANSPORT: sse}", "envFrom: [{configMapRef: {name: c}}]"},
		{"files", "{a.py: import fastmcp}", "command: [python, /etc/app/a.py], volumeMounts: [{name: v, mountPath: /etc/app}]"},
	} {
		says := strings.Replace(harmless, "{LOG_LEVEL: info}", tt.data, 1)
		pod := "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: nginx, " + tt.container +
			"}], volumes: [{name: v, configMap: {name: c}}]}\n"
		for order, text := range map[string]string{"first": says + harmless, "last": harmless + says} {
			if row := only(t, config.Default(), text+pod); row.RiskClass != risk.ToolCalling {
				t.Errorf("%s, the one that says it %s: class %s by %v", tt.name, order, row.RiskClass, row.Evidence)
			}
		}
	}
}

// What other objects say must not make a pod oversized.
func TestVariablesFromOtherObjectsAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name               string
		keys, width, value int
	}{
		{"many", 5000, 5, 1},
		{"long names", 400, 250, 1},
		{"long values", 10, 5, 1 << 17},
		{"many values", 490, 5, 255},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var data strings.Builder
			for i := range tt.keys {
				fmt.Fprintf(&data, "  A%0*d: %s\n", tt.width, i, strings.Repeat("x", tt.value))
			}
			text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n" + data.String() +
				"---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n" +
				"  - {name: a, image: nginx, envFrom: [{configMapRef: {name: c}}]}\n  - {name: b, image: nginx, envFrom: [{configMapRef: {name: c}}]}\n"
			if row := only(t, config.Default(), text); row.RiskClass != risk.None {
				t.Errorf("class %s by %v", row.RiskClass, row.Evidence)
			}
		})
	}
}

// A file in a ConfigMap must not hide the settings beside it.
func TestLongVariablesFromOtherObjectsHideNothing(t *testing.T) {
	text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {FILE: " + strings.Repeat("x", 32<<10) + ", TRANSPORT: sse}\n" +
		"---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: a, image: nginx, envFrom: [{configMapRef: {name: c}}]}]}\n"
	if row := only(t, config.Default(), text); row.RiskClass != risk.ToolCalling {
		t.Errorf("class %s by %v", row.RiskClass, row.Evidence)
	}
}
