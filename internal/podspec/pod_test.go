package podspec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// beside are the objects that the pods of these tests refer to.
const beside = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {MODE: fast, bad-name: x, "a b": sp, text: "line\n"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: binary}
binaryData: {blob: AAE=}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
data: {token: czNjcmV0}
stringData: {other: plain}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: elsewhere}
data: {MODE: wrong}
`

func objects(t *testing.T, text string) Objects {
	t.Helper()
	batch := manifest.Read("test.yaml", strings.NewReader(text), manifest.DefaultLimits())
	if len(batch.Errors) > 0 {
		t.Fatal(batch.Errors[0])
	}
	out, err := ReadObjects(batch.Objects)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// readPod reads a pod whose spec is given, as one whose containers share all.
func readPod(t *testing.T, spec string) (*pod.Pod, error) {
	t.Helper()
	return readAs(t, spec, false)
}

func readAs(t *testing.T, spec string, apart bool) (*pod.Pod, error) {
	t.Helper()
	p := &corev1.Pod{}
	p.Name, p.Labels = "box", map[string]string{"app": "web", "tier": "front"}
	if err := yaml.UnmarshalStrict([]byte(spec), &p.Spec); err != nil {
		t.Fatal(err)
	}
	return New(p, objects(t, beside), apart)
}

func TestEnvironment(t *testing.T) {
	p, err := readPod(t, `
serviceAccountName: runner
automountServiceAccountToken: false
containers:
- name: c
  image: x
  command: [sh, -c, "$(MODE) $(NAME) $$(MODE) $(NONE) $ $("]
  args: ["$(TOKEN)"]
  resources: {limits: {cpu: 1500m, memory: 1Gi}}
  envFrom:
  - {prefix: P_, configMapRef: {name: settings}}
  - {configMapRef: {name: absent, optional: true}}
  env:
  - {name: MODE, value: "over-$(P_MODE)"}
  - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
  - {name: APP, valueFrom: {fieldRef: {fieldPath: "metadata.labels['app']"}}}
  - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
  - {name: WHO, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
  - {name: TOKEN, valueFrom: {secretKeyRef: {name: keys, key: token}}}
  - {name: OTHER, valueFrom: {secretKeyRef: {name: keys, key: other}}}
  - {name: GONE, valueFrom: {secretKeyRef: {name: keys, key: gone, optional: true}}}
  - {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}
  - {name: MEM, valueFrom: {resourceFieldRef: {resource: limits.memory, divisor: 1Mi}}}
  - {name: LATER, value: "$(LAST)"}
  - {name: LAST, value: x}
`)
	if err != nil {
		t.Fatal(err)
	}
	c := p.Containers[0]
	want := []string{
		"APP=web", "CPU=2", "IP=127.0.0.1", "LAST=x", "LATER=$(LAST)", "MEM=1024", "MODE=over-fast", "NAME=box", "OTHER=plain",
		"P_MODE=fast", "P_bad-name=x", "P_text=line\n", "TOKEN=s3cret", "WHO=runner",
	}
	if diff := cmp.Diff(want, c.Env); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"sh", "-c", "over-fast box $(MODE) $(NONE) $ $("}, c.Command); diff != "" {
		t.Errorf("command (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"s3cret"}, c.Args); diff != "" {
		t.Errorf("args (-want +got):\n%s", diff)
	}
	if notes := strings.Join(p.Notes, "\n"); !strings.Contains(notes, `key "a b" is no name of a variable`) {
		t.Errorf("notes: %s", notes)
	}
}

// TestMountPropagation: what has no effect here is said.
func TestMountPropagation(t *testing.T) {
	for mode, want := range map[string]bool{"None": false, "HostToContainer": true} {
		p, err := readPod(t, `
containers: [{name: c, image: x, command: ["true"], volumeMounts: [{name: v, mountPath: /v, mountPropagation: `+mode+`}]}]
volumes: [{name: v, emptyDir: {}}]
`)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(strings.Join(p.Notes, "\n"), "mountPropagation has no effect"); got != want {
			t.Errorf("%s: said: %t, want %t", mode, got, want)
		}
	}
}

func TestVolumes(t *testing.T) {
	p, err := readPod(t, `
securityContext: {runAsUser: 1000, fsGroup: 2000}
containers:
- name: c
  image: x
  volumeMounts:
  - {name: all, mountPath: /etc/settings/}
  - {name: one, mountPath: /keys}
  - {name: all, mountPath: /opt/text, subPath: text}
  - {name: made, mountPath: /made}
  - {name: scratch, mountPath: /scratch}
volumes:
- {name: all, configMap: {name: settings, defaultMode: 256}}
- {name: one, secret: {secretName: keys, items: [{key: token, path: a/b, mode: 288}]}}
- {name: scratch, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
- name: made
  projected:
    sources:
    - {configMap: {name: settings, items: [{key: MODE, path: mode}]}}
    - {downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
`)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range p.Volumes {
		if v.GID == nil || *v.GID != 2000 {
			t.Errorf("%s: group %v", v.Target, v.GID)
		}
		if v.Scratch {
			got = append(got, v.Target+" scratch")
		}
		for _, f := range v.Files {
			got = append(got, strings.Join([]string{v.Target, f.Path, string(f.Data)}, " ")+" "+modeString(f.Mode))
		}
	}
	want := []string{
		"/etc/settings MODE fast 440", "/etc/settings a b sp 440", "/etc/settings bad-name x 440", "/etc/settings text line\n 440",
		"/keys a/b s3cret 440", "/made labels app=\"web\"\ntier=\"front\" 644", "/made mode fast 644", "/opt/text  line\n 440", "/scratch scratch",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("volumes (-want +got):\n%s", diff)
	}
	if p.Volumes[len(p.Volumes)-1].SizeBytes != 1<<20 {
		t.Errorf("scratch has %d bytes", p.Volumes[len(p.Volumes)-1].SizeBytes)
	}
	if diff := cmp.Diff([]uint32{2000}, p.Security.Groups); diff != "" {
		t.Errorf("groups: %s", diff)
	}
}

func modeString(mode uint32) string {
	const digits = "01234567"
	return string([]byte{digits[mode>>6&7], digits[mode>>3&7], digits[mode&7]})
}

// TestRefused: each thing that one sandbox cannot give is an error that names
// it and says what to do.
func TestRefused(t *testing.T) {
	for _, tt := range []struct{ name, spec, want string }{
		{"host network", `{hostNetwork: true, containers: [{name: c}]}`, "shares a namespace with the host"},
		{"privileged", `{containers: [{name: c, securityContext: {privileged: true}}]}`, `container "c" is privileged`},
		{"host port", `{containers: [{name: c, ports: [{containerPort: 80, hostPort: 80}]}]}`, "wants port 80 of the host"},
		{"sysctl", `{securityContext: {sysctls: [{name: a, value: b}]}, containers: [{name: c}]}`, "kernel parameters"},
		{"capability", `{containers: [{name: c, securityContext: {capabilities: {add: [SYS_ADMIN]}}}]}`, `adds capability "SYS_ADMIN"`},
		{"root and not root", `{containers: [{name: c, securityContext: {runAsNonRoot: true, runAsUser: 0}}]}`, "has runAsNonRoot and runs as root"},
		{"user below 0", `{securityContext: {runAsUser: -1}, containers: [{name: c}]}`, "runAsUser -1"},
		{"two users", `{containers: [{name: a, securityContext: {runAsUser: 1}}, {name: b, securityContext: {runAsUser: 2}}]}`, `"a" and "b" run as different users`},
		{"two capability sets", `{containers: [{name: a}, {name: b, securityContext: {capabilities: {drop: [ALL]}}}]}`, "different rights"},
		{"two of one name", `{containers: [{name: a}, {name: a}]}`, `two containers are named "a"`},
		{"host path", `{containers: [{name: c, volumeMounts: [{name: v, mountPath: /v}]}], volumes: [{name: v, hostPath: {path: /run/docker.sock}}]}`, "none of emptyDir"},
		{"no such volume", `{containers: [{name: c, volumeMounts: [{name: v, mountPath: /v}]}]}`, "which the pod does not have"},
		{"the root", `{containers: [{name: c, volumeMounts: [{name: v, mountPath: /x/..}]}], volumes: [{name: v, emptyDir: {}}]}`, `at "/x/.."`},
		{"one place, two volumes", `{containers: [{name: a, volumeMounts: [{name: v, mountPath: /v}]}, {name: b, volumeMounts: [{name: w, mountPath: /v}]}], volumes: [{name: v, emptyDir: {}}, {name: w, configMap: {name: settings}}]}`, "both mounted"},
		{"two folders at one place, one of them elsewhere too", `{containers: [{name: a, volumeMounts: [{name: v, mountPath: /v}, {name: w, mountPath: /w}]}, {name: b, volumeMounts: [{name: w, mountPath: /v}]}], volumes: [{name: v, emptyDir: {}}, {name: w, emptyDir: {}}]}`, "both mounted"},
		{"one volume, two places", `{containers: [{name: a, volumeMounts: [{name: v, mountPath: /v}]}, {name: b, volumeMounts: [{name: v, mountPath: /w}]}], volumes: [{name: v, emptyDir: {}}]}`, `at "/v" and at "/w"`},
		{"path out of a volume", `{containers: [{name: c, volumeMounts: [{name: v, mountPath: /v}]}], volumes: [{name: v, configMap: {name: settings, items: [{key: MODE, path: ../x}]}}]}`, "no path of a file"},
		{"two files at one path", `{containers: [{name: c, volumeMounts: [{name: v, mountPath: /v}]}], volumes: [{name: v, configMap: {name: settings, items: [{key: MODE, path: a}, {key: text, path: a/b}]}}]}`, "at the same place"},
		{"mode", `{containers: [{name: c, volumeMounts: [{name: v, mountPath: /v}]}], volumes: [{name: v, configMap: {name: settings, defaultMode: 4095}}]}`, "mode 7777"},
		{"token", `{containers: [{name: c, volumeMounts: [{name: v, mountPath: /v}]}], volumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: t}}]}}]}`, "only a cluster has"},
		{"no ConfigMap", `{containers: [{name: c, envFrom: [{configMapRef: {name: gone}}]}]}`, `no ConfigMap "gone" in namespace "default"`},
		{"a zero byte", `{containers: [{name: c, envFrom: [{configMapRef: {name: binary}}]}]}`, "would hold a zero byte"},
		{"no key", `{containers: [{name: c, env: [{name: A, valueFrom: {secretKeyRef: {name: keys, key: gone}}}]}]}`, `Secret "keys" has no key "gone"`},
		{"node's name", `{containers: [{name: c, env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]}]}`, "known on a cluster only"},
		{"no limit", `{containers: [{name: c, env: [{name: A, valueFrom: {resourceFieldRef: {resource: limits.cpu}}}]}]}`, "sets no limits.cpu"},
		{"no variable", `{containers: [{name: c, env: [{name: "A=B", value: x}]}]}`, "no name of a variable"},
		{"probe of another", `{containers: [{name: c, livenessProbe: {httpGet: {host: 169.254.169.254, port: 80}}}]}`, "is not the pod"},
		{"probe of no port", `{containers: [{name: c, livenessProbe: {tcpSocket: {port: web}}}]}`, `no port "web"`},
		{"gRPC probe", `{containers: [{name: c, readinessProbe: {grpc: {port: 1}}}]}`, "speaks gRPC"},
		{"probe of an init container", `{initContainers: [{name: i, livenessProbe: {exec: {command: [x]}}}], containers: [{name: c}]}`, `init container "i" has probes`},
		{"a Secret of one container", `{containers: [{name: a, envFrom: [{secretRef: {name: keys}}]}, {name: b}]}`, `Secret "keys" is meant for a only`},
		{"a Secret mounted in one container", `{containers: [{name: a, volumeMounts: [{name: v, mountPath: /v}]}, {name: b}], volumes: [{name: v, secret: {secretName: keys}}]}`, `Secret "keys", mounted at "/v", is meant for a only`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := readPod(t, tt.spec)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("err %v, want %q", err, tt.want)
			}
			if fault.Hint(err) == "" {
				t.Error("no next step")
			}
			if strings.Contains(err.Error(), "s3cret") {
				t.Error("a secret's value is in the error")
			}
		})
	}
}

func TestShape(t *testing.T) {
	p, err := readPod(t, `
restartPolicy: OnFailure
terminationGracePeriodSeconds: 7
activeDeadlineSeconds: 60
initContainers:
- {name: fetch, env: [{name: T, valueFrom: {secretKeyRef: {name: keys, key: token}}}]}
- {name: proxy, restartPolicy: Always, startupProbe: {tcpSocket: {port: 9}, periodSeconds: 1}}
containers:
- name: web
  ports: [{name: http, containerPort: 8080}]
  readinessProbe: {httpGet: {path: ready, port: http, httpHeaders: [{name: Host, value: web}, {name: X, value: "1"}]}}
  lifecycle: {preStop: {sleep: {seconds: 2}}}
`)
	if err != nil {
		t.Fatal(err)
	}
	var roles []pod.Role
	for _, c := range p.Containers {
		roles = append(roles, c.Role)
	}
	if diff := cmp.Diff([]pod.Role{pod.Init, pod.Sidecar, pod.Main}, roles); diff != "" {
		t.Errorf("roles: %s", diff)
	}
	web := p.Containers[2]
	if diff := cmp.Diff(&pod.HTTP{Host: "web", Port: 8080, Path: "/ready", Headers: [][2]string{{"X", "1"}}}, web.Readiness.HTTP); diff != "" {
		t.Errorf("readiness: %s", diff)
	}
	if web.Readiness.Failure != 3 || web.Readiness.Period.Seconds() != 10 || web.PreStop.Sleep.Seconds() != 2 || p.Grace.Seconds() != 7 || p.Deadline.Seconds() != 60 {
		t.Errorf("defaults: %+v, %+v, %s, %s", web.Readiness, web.PreStop, p.Grace, p.Deadline)
	}
}

// The default container is the one that kubectl takes.
func TestDefaultContainer(t *testing.T) {
	for annotation, want := range map[string]string{"": "a", "b": "b", "i": "i", "gone": "a"} {
		manifest := corev1.Pod{Spec: corev1.PodSpec{InitContainers: []corev1.Container{{Name: "i"}}, Containers: []corev1.Container{{Name: "a"}, {Name: "b"}}}}
		if annotation != "" {
			manifest.Annotations = map[string]string{defaultAnnotation: annotation}
		}
		p, err := New(&manifest, Objects{}, false)
		if err != nil {
			t.Fatal(err)
		}
		said := strings.Contains(strings.Join(p.Notes, "\n"), "names no container of the pod: a is the default")
		if p.Default != want || said != (annotation == "gone") {
			t.Errorf("annotation %q: %q, want %q, said %q", annotation, p.Default, want, p.Notes)
		}
	}
}

// A /tmp of each container is one here, and that is said.
func TestFoldersOfEach(t *testing.T) {
	p, err := readPod(t, `{containers: [{name: a, volumeMounts: [{name: v, mountPath: /tmp}]}, {name: b, volumeMounts: [{name: w, mountPath: /tmp}]}], volumes: [{name: v, emptyDir: {sizeLimit: 1Mi}}, {name: w, emptyDir: {sizeLimit: 2Mi}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Volumes) != 1 || p.Volumes[0].SizeBytes != 2<<20 || !strings.Contains(strings.Join(p.Notes, "\n"), "at /tmp is one folder here") {
		t.Errorf("%+v, %q", p.Volumes, p.Notes)
	}
}

// A value that is no base64 is not quoted back: it is a secret's.
func TestMalformedSecret(t *testing.T) {
	batch := manifest.Read("test.yaml", strings.NewReader("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {k: 'hunter2!'}\n"), manifest.DefaultLimits())
	_, err := ReadObjects(batch.Objects)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("err %v", err)
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("$(A) $$(A) $(B $")
	f.Fuzz(func(t *testing.T, text string) {
		got := expand(text, map[string]string{"A": "value"})
		if len(got) > len(text)*len("value") {
			t.Errorf("%q grew to %q", text, got)
		}
		if !strings.Contains(text, "$") && got != text {
			t.Errorf("%q became %q", text, got)
		}
	})
}
