package cli

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/internal/testbin"
)

func repositoryFile(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(repositoryFile(t, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// TestActionDefinition: every input is used, every name that is used is there,
// and no input is text of a command.
func TestActionDefinition(t *testing.T) {
	type field struct {
		Description string  `json:"description"`
		Required    bool    `json:"required"`
		Default     *string `json:"default"`
		Value       string  `json:"value"`
	}
	var action struct {
		Name        string            `json:"name"`
		Description string            `json:"description"`
		Author      string            `json:"author"`
		Branding    map[string]string `json:"branding"`
		Inputs      map[string]field  `json:"inputs"`
		Outputs     map[string]field  `json:"outputs"`
		Runs        struct {
			Using string `json:"using"`
			Steps []struct {
				Name  string            `json:"name"`
				ID    string            `json:"id"`
				If    string            `json:"if"`
				Shell string            `json:"shell"`
				Run   string            `json:"run"`
				Uses  string            `json:"uses"`
				Env   map[string]string `json:"env"`
				With  map[string]string `json:"with"`
			} `json:"steps"`
		} `json:"runs"`
	}
	readYAML(t, "action.yml", &action)
	if action.Name == "" || action.Description == "" || action.Runs.Using != "composite" {
		t.Errorf("%+v", action)
	}
	var used []string
	for _, step := range action.Runs.Steps {
		if strings.Contains(step.Run, "${{") || (step.Run != "") != (step.Shell == "bash") || (step.Run == "") == (step.Uses == "") {
			t.Errorf("step %s: an expression in a command, or no shell, or both a command and an action", step.Name)
		}
		used = append(used, step.If)
		for _, v := range step.Env {
			used = append(used, v)
		}
		for _, v := range step.With {
			used = append(used, v)
		}
	}
	all := strings.Join(used, " ")
	for name, in := range action.Inputs {
		if !strings.Contains(all, "inputs."+name+" ") || in.Description == "" || in.Required == (in.Default != nil) {
			t.Errorf("input %s is not used, not described, or neither required nor with a default", name)
		}
	}
	for _, m := range regexp.MustCompile(`inputs\.([a-z0-9-]+)`).FindAllStringSubmatch(all, -1) {
		if _, ok := action.Inputs[m[1]]; !ok {
			t.Errorf("there is no input %s", m[1])
		}
	}
}

// release is an archive as `make dist` makes it, and its checksum.
func release(t *testing.T) (archive []byte, sum string) {
	t.Helper()
	var b bytes.Buffer
	zipped, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	w := tar.NewWriter(zipped)
	for _, name := range []string{"bulkhead", "bulkhead-decide"} {
		binary, err := os.ReadFile(testbin.Path(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteHeader(&tar.Header{Name: "bulkhead-v0-linux-amd64/" + name, Mode: 0o755, Size: int64(len(binary))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(binary); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(b.Bytes())
	return b.Bytes(), hex.EncodeToString(digest[:])
}

// TestActionSteps runs the steps of the action as a runner does, with a release
// from a server of the test.
func TestActionSteps(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the action is for runners with Linux")
	}
	testbin.Installed(t, "curl")
	archive, sum := release(t)
	serve := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(archive) })
	server, plain := httptest.NewTLSServer(serve), httptest.NewServer(serve)
	defer server.Close()
	defer plain.Close()
	temp, work := t.TempDir(), t.TempDir()
	put := func(path, text string) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := put(filepath.Join(temp, "ca.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	output, summary := put(filepath.Join(temp, "output"), ""), put(filepath.Join(temp, "summary"), "")
	put(filepath.Join(work, "a pod.yaml"), "apiVersion: v1\nkind: Pod\nmetadata: {name: model}\nspec: {containers: [{name: a, image: ollama/ollama}]}\n")
	step := func(name string, env ...string) (int, string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), repositoryFile(t, "tools/action.sh"), name)
		cmd.Dir = work
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "RUNNER_TEMP=" + temp, "CURL_CA_BUNDLE=" + ca, "GITHUB_OUTPUT=" + output, "GITHUB_STEP_SUMMARY=" + summary,
			"BULKHEAD_ARCHIVE=" + server.URL + "/x.tar.gz", "BULKHEAD_SHA256=" + sum, "BULKHEAD_PATHS=a pod.yaml\n", "BULKHEAD_FAIL_ON=error", "BULKHEAD_SARIF=out.sarif"}, env...)
		out, err := cmd.CombinedOutput()
		if err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	read := func(path string) string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	unpacked := filepath.Join(temp, "bulkhead", "bulkhead")

	for _, bad := range []string{strings.Repeat("0", 64), "", "$(touch x)"} {
		if code, out := step("install", "BULKHEAD_SHA256="+bad); code == 0 || strings.Contains(out, "devel") {
			t.Errorf("with checksum %q: code %d\n%s", bad, code, out)
		}
		if _, err := os.Stat(unpacked); err == nil {
			t.Fatalf("with checksum %q the archive was unpacked", bad)
		}
	}
	if code, out := step("install", "BULKHEAD_ARCHIVE="+plain.URL); code == 0 {
		t.Errorf("it downloads without TLS: %s", out)
	}
	if code, out := step("install"); code != 0 {
		t.Fatalf("code %d\n%s", code, out)
	}
	if code, out := step("check"); code != 0 || !strings.Contains(out, "Pod/model") {
		t.Errorf("code %d\n%s", code, out)
	}
	if got := read(output); got != "code=1\nsarif=out.sarif\n" {
		t.Errorf("outputs %q", got)
	}
	if !strings.Contains(read(filepath.Join(work, "out.sarif")), `"uri": "a%20pod.yaml"`) || !strings.HasPrefix(read(summary), "## Bulkhead: 1 error") {
		t.Error("no SARIF, or no summary")
	}
	for _, tt := range []struct {
		code, failOn string
		want         int
	}{{"0", "error", 0}, {"1", "error", 1}, {"1", "never", 0}, {"2", "never", 2}} {
		if code, _ := step("result", "BULKHEAD_CODE="+tt.code, "BULKHEAD_FAIL_ON="+tt.failOn); code != tt.want {
			t.Errorf("check ended with %s, fail-on %s: the job ends with %d, want %d", tt.code, tt.failOn, code, tt.want)
		}
	}
	if code, out := step("check", "BULKHEAD_FAIL_ON=fatal"); code != 2 || !strings.Contains(out, "--fail-on") {
		t.Errorf("a mistake in the workflow: code %d\n%s", code, out)
	}
}

// TestPreCommitHooks: each hook's entry runs on a folder as pre-commit runs it.
func TestPreCommitHooks(t *testing.T) {
	var hooks []struct {
		ID            string   `json:"id"`
		Name          string   `json:"name"`
		Description   string   `json:"description"`
		Language      string   `json:"language"`
		Entry         string   `json:"entry"`
		Args          []string `json:"args"`
		PassFilenames *bool    `json:"pass_filenames"`
		TypesOr       []string `json:"types_or"`
		Files         string   `json:"files"`
	}
	readYAML(t, ".pre-commit-hooks.yaml", &hooks)
	work := t.TempDir()
	for name, text := range map[string]string{
		"values.yaml":   "replicas: 3\n", // not for Kubernetes: no reason to fail
		"pod.yaml":      "apiVersion: v1\nkind: Pod\nmetadata: {name: model}\nspec: {containers: [{name: a, image: ollama/ollama}]}\n",
		"bulkhead.yaml": "apiVersion: bulkhead.dev/config/v1\nruleFiles: [rules.yaml]\n",
		"rules.yaml":    "rules:\n- {id: own, title: t, kind: technology, scope: pod, class: inference, message: m, fix: f, any: [{image: [x]}], cases: {fires: [{images: [x]}], silent: [{images: [z]}]}}\n",
	} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]struct {
		code int
		says string
	}{
		"bulkhead-check": {1, "Pod/model"}, "bulkhead-check-system": {1, "Pod/model"}, "bulkhead-rules-test": {0, "ok    own (2 cases)"},
	}
	if len(hooks) != len(want) {
		t.Errorf("%d hooks, want %d", len(hooks), len(want))
	}
	for _, h := range hooks {
		if h.Name == "" || h.Description == "" || h.PassFilenames == nil || *h.PassFilenames {
			t.Errorf("%+v", h)
		}
		args := append(strings.Fields(h.Entry)[1:], h.Args...)
		cmd := exec.CommandContext(t.Context(), testbin.Path(t, strings.Fields(h.Entry)[0]), args...)
		cmd.Dir = work
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != want[h.ID].code || !strings.Contains(string(out), want[h.ID].says) {
			t.Errorf("%s: code %d\n%s", h.ID, code, out)
		}
	}
}
