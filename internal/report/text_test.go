package report_test

import (
	"strings"
	"testing"

	"github.com/bulkhead-dev/bulkhead/internal/report"
)

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"--api-key=abc --port=80":                         "--api-key=[redacted] --port=80",
		"--token abc":                                     "--token [redacted]",
		`"password": "abc"`:                               `"password": "[redacted]"`,
		"DB_PASSWORD=abc":                                 "DB_PASSWORD=[redacted]",
		"Authorization: Bearer abc.def":                   "Authorization: Bearer [redacted]",
		"postgres://user:abc@host/db":                     "postgres://user:[redacted]@host/db",
		"curl -u x https://h/?access_key=abc":             "curl -u x https://h/?access_key=[redacted]",
		"echo sk-abcdefgh12345678":                        "echo [redacted]",
		"ghp_abcdefgh1234":                                "[redacted]",
		"hf_abcdefgh1234":                                 "[redacted]",
		"AKIAABCDEFGHIJKLMNOP":                            "[redacted]",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln":       "[redacted]",
		"xoxb-1234567890-abc":                             "[redacted]",
		"vllm serve m --max-model-len=16384":              "vllm serve m --max-model-len=16384",
		"registry.example/app@sha256:0123":                "registry.example/app@sha256:0123",
		"https://host:8443/path":                          "https://host:8443/path",
		strings.Repeat("é", 119):                          strings.Repeat("é", 119),
		strings.Repeat("é", 130):                          strings.Repeat("é", 119) + "…",
		"--secret-key='" + strings.Repeat("x", 200) + "'": "--secret-key='[redacted]'",
	} {
		if got := report.Redact(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

func TestValueShowsNoVariable(t *testing.T) {
	for _, tt := range []struct {
		path string
		in   any
		want string
	}{
		{"spec.containers[0].env[1].name", "TOKEN", "TOKEN"},
		{"spec.containers[0].env[1].value", "abc", "[redacted]"},
		{"spec.template.spec.containers[0].env[1].value", int64(1), "[redacted]"},
		{"spec.containers[0].env[1]", map[string]any{"name": "TOKEN", "value": "abc"}, "TOKEN"},
		{"spec.containers[0].env", []any{map[string]any{"name": "A", "value": "abc"}}, "[A]"},
		{"data.key", "abc", "[redacted]"},
		{`stringData["a.b"]`, "abc", "[redacted]"},
		{"spec.volumes[0].hostPath", map[string]any{"path": "/abc"}, "{…}"},
		{"spec.containers[0].args", []any{"--token", "--password=abc"}, "[--token [redacted]"},
		{"spec.hostNetwork", true, "true"},
		{"spec.runtimeClassName", nil, ""},
	} {
		if got := report.Value(tt.path, tt.in); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.path, got, tt.want)
		}
	}
}
