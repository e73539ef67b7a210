package manifest_test

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// rewrite makes changes, all in the first object of the text.
func rewrite(t *testing.T, text string, set map[string]any, order ...string) (string, []*manifest.Error) {
	t.Helper()
	batch := manifest.Read("a.yaml", bytes.NewReader([]byte(text)), manifest.DefaultLimits())
	if len(batch.Errors) > 0 {
		t.Fatal(batch.Errors)
	}
	var changes []manifest.Change
	for _, at := range order {
		path, err := manifest.ParsePath(at)
		if err != nil {
			t.Fatal(err)
		}
		changes = append(changes, manifest.Change{Object: batch.Objects[0], Path: path, Value: set[at], First: at == "spec.runtimeClassName"})
	}
	out, bad := manifest.Rewrite([]byte(text), changes, manifest.DefaultLimits())
	return string(out), bad
}

const (
	escalate = "spec.containers[0].securityContext.allowPrivilegeEscalation"
	seccomp  = "spec.containers[0].securityContext.seccompProfile.type"
	drop     = "spec.containers[0].securityContext.capabilities.drop"
	class    = "spec.runtimeClassName"
	volume   = "spec.volumes[0]"
	mount    = "spec.containers[0].volumeMounts[0]"
)

func usual() (map[string]any, []string) {
	return map[string]any{
		class: "gvisor", escalate: false, seccomp: "RuntimeDefault", drop: []any{"ALL"},
		volume: map[string]any{"name": "tmp", "emptyDir": map[string]any{}},
		mount:  map[string]any{"name": "tmp", "mountPath": "/tmp"},
	}, []string{class, escalate, seccomp, drop, volume, mount}
}

func TestRewrite(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"block style": {
			"# head\napiVersion: v1\nkind: Pod\nmetadata:\n  name: a # the name\nspec: # all of it\n  # first\n  containers:\n    - name: a\n      image: b\n\n# tail\n",
			"# head\napiVersion: v1\nkind: Pod\nmetadata:\n  name: a # the name\nspec: # all of it\n  runtimeClassName: gvisor\n  # first\n  containers:\n    - name: a\n      image: b\n" +
				"      securityContext:\n        allowPrivilegeEscalation: false\n        seccompProfile:\n          type: RuntimeDefault\n        capabilities:\n          drop: [ALL]\n" +
				"      volumeMounts:\n        - name: tmp\n          mountPath: /tmp\n  volumes:\n    - name: tmp\n      emptyDir: {}\n\n# tail\n",
		},
		"dashes at the column of their key, four columns a level": {
			"apiVersion: v1\nkind: Pod\nmetadata:\n    name: a\nspec:\n    containers:\n    - name: a\n      image: b\n",
			"apiVersion: v1\nkind: Pod\nmetadata:\n    name: a\nspec:\n    runtimeClassName: gvisor\n    containers:\n    - name: a\n      image: b\n" +
				"      securityContext:\n          allowPrivilegeEscalation: false\n          seccompProfile:\n              type: RuntimeDefault\n          capabilities:\n              drop: [ALL]\n" +
				"      volumeMounts:\n      - name: tmp\n        mountPath: /tmp\n    volumes:\n    - name: tmp\n      emptyDir: {}\n",
		},
		"flow style": {
			"{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, image: b}]}}\n",
			"{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, image: b, securityContext: {allowPrivilegeEscalation: false, seccompProfile: {type: RuntimeDefault}, capabilities: {drop: [ALL]}}, volumeMounts: [{name: tmp, mountPath: /tmp}]}], runtimeClassName: gvisor, volumes: [{name: tmp, emptyDir: {}}]}}\n",
		},
		"null, {} and []": {
			"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  runtimeClassName: \"\"\n  volumes: [] # none\n  containers:\n    - name: a\n      volumeMounts:\n      securityContext: {} # nothing\n      image: b\n",
			"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  runtimeClassName: \"gvisor\"\n  volumes: # none\n    - name: tmp\n      emptyDir: {}\n  containers:\n    - name: a\n      volumeMounts:\n        - name: tmp\n          mountPath: /tmp\n" +
				"      securityContext: # nothing\n        allowPrivilegeEscalation: false\n        seccompProfile:\n          type: RuntimeDefault\n        capabilities:\n          drop: [ALL]\n      image: b\n",
		},
		"a literal at the end, no line feed behind the last line": {
			"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: a\n    image: b\n    args:\n    - |\n      x: 1\n\n      # no comment\n    # a comment\n  nodeName: 'it''s' ",
			"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  runtimeClassName: gvisor\n  containers:\n  - name: a\n    image: b\n    args:\n    - |\n      x: 1\n\n      # no comment\n" +
				"    securityContext:\n      allowPrivilegeEscalation: false\n      seccompProfile:\n        type: RuntimeDefault\n      capabilities:\n        drop: [ALL]\n    volumeMounts:\n    - name: tmp\n      mountPath: /tmp\n    # a comment\n  nodeName: 'it''s' \n" +
				"  volumes:\n  - name: tmp\n    emptyDir: {}",
		},
		"JSON": {
			"{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Pod\",\n  \"metadata\": {\"name\": \"a\"},\n  \"spec\": {\n    \"containers\": [\n      {\n        \"name\": \"a\",\n        \"securityContext\": {}\n      }\n    ]\n  }\n}\n",
			"{\n  \"apiVersion\": \"v1\",\n  \"kind\": \"Pod\",\n  \"metadata\": {\"name\": \"a\"},\n  \"spec\": {\n    \"containers\": [\n      {\n        \"name\": \"a\",\n        \"securityContext\": {\n          \"allowPrivilegeEscalation\": false,\n          \"seccompProfile\": {\n            \"type\": \"RuntimeDefault\"\n          },\n          \"capabilities\": {\n            \"drop\": [\"ALL\"]\n          }\n        },\n" +
				"        \"volumeMounts\": [\n          {\n            \"name\": \"tmp\",\n            \"mountPath\": \"/tmp\"\n          }\n        ]\n      }\n    ],\n    \"runtimeClassName\": \"gvisor\",\n    \"volumes\": [\n      {\n        \"name\": \"tmp\",\n        \"emptyDir\": {}\n      }\n    ]\n  }\n}\n",
		},
		"scalars over several lines": {
			"apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n    - image: b\n      name: \"a\\\n        b\"\n      args: [one,\n        'two\n        words', three # c\n      ]\n      workingDir: /some\n        where # é\n  runtimeClassName: runc\n",
			"apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\nspec:\n  containers:\n    - image: b\n      name: \"a\\\n        b\"\n      args: [one,\n        'two\n        words', three # c\n      ]\n      workingDir: /some\n        where # é\n" +
				"      securityContext:\n        allowPrivilegeEscalation: false\n        seccompProfile:\n          type: RuntimeDefault\n        capabilities:\n          drop: [ALL]\n      volumeMounts:\n        - name: tmp\n          mountPath: /tmp\n  runtimeClassName: gvisor\n  volumes:\n    - name: tmp\n      emptyDir: {}\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			set, order := usual()
			got, bad := rewrite(t, c.in, set, order...)
			if len(bad) > 0 {
				t.Fatal(bad)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			crlf := func(s string) string { return string(bytes.ReplaceAll([]byte(s), []byte("\n"), []byte("\r\n"))) }
			got, bad = rewrite(t, crlf(c.in), set, order...)
			if diff := cmp.Diff(crlf(c.want), got); diff != "" || len(bad) > 0 {
				t.Errorf("with CRLF: %v\n%s", bad, diff)
			}
		})
	}
}
