package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

const head = "apiVersion: bulkhead.dev/config/v1\n"

func TestParse(t *testing.T) {
	got, err := config.Parse("bulkhead.yaml", []byte(head+`
routes:
  inference: [gvisor]
runtimeClasses: {gvisor: runsc}
rules:
  api-token: {enabled: false, reason: all of ours use it}
  seccomp-default: {enabled: true, severity: error, reason: we have profiles}
ruleFiles: [policies, /etc/bulkhead/rules.yaml]
kinds:
- {group: acme.example, kind: Robot, class: tool-calling, why: it acts, pods: [{role: brain, at: spec.brain}]}
images:
- {match: registry.example:5000/team/plan-*, class: code-execution}
waivers:
- owner: platform-team
  reason: no KVM yet
  ticket: 142 # a number is text here
  expires: 2027-06-30
  scope: {kind: Pod, namespace: ns, name: p}
  accept: {boundary: user-kernel}
- owner: o
  reason: &r writes to /opt
  ticket: T-2
  expires: "2027-01-01"
  scope: {kind: Job, name: j, container: c}
  accept: {rule: read-only-root}
`))
	if err != nil {
		t.Fatal(err)
	}
	routes := boundary.DefaultRoutes()
	routes[risk.Inference] = []boundary.Runtime{boundary.GVisor}
	want := config.Config{
		File: "bulkhead.yaml", Routes: routes, RuntimeClasses: map[string]string{"gvisor": "runsc"},
		Rules: []config.RuleSetting{
			{ID: "api-token", Off: true, Reason: "all of ours use it", Line: 7},
			{ID: "seccomp-default", Severity: rules.Error, Reason: "we have profiles", Line: 8},
		},
		RuleFiles: []config.RuleFile{{Path: "policies", Line: 9}, {Path: "/etc/bulkhead/rules.yaml", Line: 9}},
		Kinds:     []manifest.Kind{{Group: "acme.example", Kind: "Robot", Class: risk.ToolCalling, Why: "it acts", Pods: []manifest.Pod{{Role: "brain", At: "spec.brain"}}}},
		Images:    []config.Image{{Match: "registry.example:5000/team/plan-*", Class: risk.CodeExecution, Line: 13}},
		Waivers: []config.Waiver{
			{Owner: "platform-team", Reason: "no KVM yet", Ticket: "142", Expires: time.Date(2027, 7, 1, 0, 0, 0, 0, time.UTC),
				Kind: "Pod", Namespace: "ns", Name: "p", Boundary: boundary.UserKernel, Line: 15},
			{Owner: "o", Reason: "writes to /opt", Ticket: "T-2", Expires: time.Date(2027, 1, 2, 0, 0, 0, 0, time.UTC),
				Kind: "Job", Name: "j", Container: "c", Rule: "read-only-root", Line: 21},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if day := got.Waivers[0].LastDay(); day != "2027-06-30" {
		t.Errorf("last day = %s", day)
	}
}

// A waiver with every field, in one line; the test takes fields away.
const whole = "{owner: o, reason: r, ticket: t, expires: 2027-06-30, scope: {kind: Pod, name: p}, accept: {rule: read-only-root}}"

type mistake struct{ name, text, want string }

func mistakes(t *testing.T) []mistake {
	t.Helper()
	waivers := func(item string) string { return head + "waivers:\n- " + item + "\n" }
	peers := func(item string) string { return head + "peers:\n- " + item + "\n" }
	without := func(field string) string {
		if !strings.Contains(whole, field) {
			t.Fatalf("%q is not in the whole waiver", field)
		}
		return waivers(strings.Replace(whole, field, "", 1))
	}
	return []mistake{
		{"owner", without("owner: o, "), "f:3: waiver: owner is required"},
		{"reason", without("reason: r, "), "f:3: waiver: reason is required"},
		{"ticket", without("ticket: t, "), "f:3: waiver: ticket is required"},
		{"expires", without("expires: 2027-06-30, "), "f:3: waiver: expires is required"},
		{"scope", without("scope: {kind: Pod, name: p}, "), "f:3: waiver: scope is required"},
		{"accept", without(", accept: {rule: read-only-root}"), "f:3: waiver: accept is required"},
		{"kind", without("kind: Pod, "), "f:3: waiver: scope.kind is required"},
		{"name", without(", name: p"), "f:3: waiver: scope.name is required"},
		{"neither rule nor boundary", without("rule: read-only-root"), "f:3: waiver: accept names either a rule or a boundary"},
		{"rule and boundary", waivers(strings.Replace(whole, "rule:", "boundary: user-kernel, rule:", 1)), "f:3: waiver: accept names either a rule or a boundary"},
		{"empty owner", waivers(strings.Replace(whole, "owner: o", "owner: ''", 1)), "f:3: waiver: owner is required"},
		{"null owner", waivers(strings.Replace(whole, "owner: o", "owner: null", 1)), "f:3: waiver: owner is required"},
		{"a list for a text", waivers(strings.Replace(whole, "owner: o", "owner: [o]", 1)), "f:3: waiver: owner is not text"},
		{"no date", waivers(strings.Replace(whole, "2027-06-30", "never", 1)), `f:3: waiver: expires is "never", not a date such as 2027-06-30`},
		{"a moment is no date", waivers(strings.Replace(whole, "2027-06-30", "2027-06-30T00:00:00Z", 1)), `f:3: waiver: expires is "2027-06-30T00:00:00Z", not a date such as 2027-06-30`},
		{"unknown boundary", waivers(strings.Replace(whole, "rule: read-only-root", "boundary: strong", 1)), `f:3: waiver: accept: unknown boundary "strong": it is one of shared-kernel, user-kernel, virtual-machine`},
		{"a boundary for one container", waivers(strings.Replace(strings.Replace(whole, "rule: read-only-root", "boundary: user-kernel", 1), "name: p", "name: p, container: c", 1)), "f:3: waiver: a boundary holds for the whole pod: leave out scope.container"},
		{"unknown field of a waiver", waivers(strings.Replace(whole, "owner:", "Owner:", 1)), `f:3: waiver: unknown field "Owner": it is one of owner, reason, ticket, expires, scope, accept`},
		{"unknown field of a scope", waivers(strings.Replace(whole, "kind:", "label: x, kind:", 1)), `f:3: waiver: unknown field "label": it is one of kind, namespace, name, container`},
		{"a merge key", head + "waivers:\n- &w " + whole + "\n- {<<: *w}\n", `f:4: waiver: unknown field "<<": it is one of owner, reason, ticket, expires, scope, accept`},
		{"a waiver that is null", waivers("null"), "f:3: waiver: a waiver is not a mapping"},
		{"waivers that are no list", head + "waivers: 3\n", "f:2: waivers is not a list"},

		{"unknown class", head + "routes:\n  inference: [runc]\n  retreival: [gvisor]\n", `f:4: routes: unknown risk class "retreival": it is one of none, unknown, inference, retrieval, tool-calling, code-execution`},
		{"a class without a route", head + "routes: {none: [runc]}\n", "f:2: class none has no route: routes are for inference and above"},
		{"unknown runtime", head + "routes:\n  inference: [docker]\n", `f:3: route of class inference: unknown runtime "docker": it is one of runc, crun, sysbox, nvidia, wasm, urunc, runhcs, gvisor, kata, kata-gpu, kata-remote, kata-fc, firecracker, qemu, nitro, hyper-v`},
		{"an empty route", head + "routes:\n  inference: []\n", "f:3: route of class inference names no runtime"},
		{"a route that is no list", head + "routes:\n  inference: runc\n", "f:3: route of class inference is not a list of runtimes"},
		{"a runtime that is no name", head + "routes:\n  inference: [{}]\n", "f:3: route of class inference: a runtime is a name"},
		{"routes that are null", head + "routes:\n", "f:2: routes is not a mapping"},
		{"a class without a handler", head + "runtimeClasses:\n  kata:\n", "f:3: runtimeClasses.kata is required"},

		{"no version", "routes: {}\n", "f:1: apiVersion is required"},
		{"another version", "\napiVersion: v2\n", `f:2: apiVersion is "v2", not "bulkhead.dev/config/v1"`},
		{"unknown field", head + "waiver: []\n", `f:2: unknown field "waiver": it is one of apiVersion, routes, runtimeClasses, rules, ruleFiles, kinds, images, peers, waivers`},
		{"twice", head + head, `f:2: field "apiVersion" is there twice`},
		{"a second document", head + "---\n" + head, "f:2: a second document: it would not be read"},
		{"broken YAML", head + "routes: [\n", "f:2: did not find expected node content"},
		{"a list", "[]\n", "f:1: the file is not a mapping"},
		{"empty", "", "f: the file is empty"},
		{"comments only", "# nothing\n", "f: the file is empty"},

		{"rules that are a list", head + "rules: []\n", "f:2: rules is not a mapping"},
		{"a rule without a reason", head + "rules:\n  api-token: {enabled: false}\n", "f:3: rules.api-token.reason is required"},
		{"a rule that is not changed", head + "rules:\n  api-token: {reason: r}\n", "f:3: rules.api-token changes nothing: set enabled or severity"},
		{"enabled is text", head + "rules: {api-token: {enabled: 'no', reason: r}}\n", "f:2: rules.api-token.enabled is neither true nor false"},
		{"unknown severity", head + "rules: {api-token: {severity: fatal, reason: r}}\n", `f:2: rules.api-token.severity is "fatal": it is one of error, warning, info`},
		{"off with a severity", head + "rules: {api-token: {enabled: false, severity: info, reason: r}}\n", "f:2: rules.api-token: what is off has no severity"},
		{"unknown field of a rule", head + "rules: {api-token: {off: true, reason: r}}\n", `f:2: unknown field "off": it is one of enabled, severity, reason`},
		{"a rule twice", head + "rules:\n  a: {enabled: false, reason: r}\n  a: {enabled: false, reason: r}\n", `f:4: field "a" is there twice`},
		{"the boundary off", head + "rules: {boundary: {enabled: false, reason: r}}\n", "f:2: rules.boundary cannot be switched off or made info: a waiver accepts it for one workload, and ends"},
		{"the boundary made info", head + "rules: {boundary: {severity: info, reason: r}}\n", "f:2: rules.boundary cannot be switched off or made info: a waiver accepts it for one workload, and ends"},

		{"rule files that are no list", head + "ruleFiles: a\n", "f:2: ruleFiles is not a list"},
		{"a rule file that is no path", head + "ruleFiles: [{}]\n", "f:2: ruleFiles: an entry is the path of a file or folder"},

		{"kinds that are no list", head + "kinds: {}\n", "f:2: kinds is not a list"},
		{"a kind without a kind", head + "kinds:\n- {group: a.example, pods: [{at: .}]}\n", "f:3: kinds: kind a.example/: kind is missing"},
		{"a kind without pods", head + "kinds:\n- {group: a.example, kind: A}\n", "f:3: kinds: a.example/A has neither pods nor references"},
		{"a kind twice", head + "kinds:\n- {kind: A, pods: [{at: .}]}\n- {kind: A, pods: [{at: .}]}\n", "f:4: kinds: A is there twice"},
		{"unknown field of a kind", head + "kinds:\n- {kind: A, pod: [{at: .}]}\n", "f:3: kinds: field pod not found in type manifest.Kind"},
		{"unknown field of a pod", head + "kinds:\n- {kind: A, pods: [{path: .}]}\n", "f:3: kinds: field path not found in type manifest.Pod"},
		{"a path that is none", head + "kinds:\n- {kind: A, pods: [{at: 'a[x'}]}\n", `f:3: kinds: kind A: path "a[x": missing ]`},
		{"a class without a why", head + "kinds:\n- {kind: A, class: retrieval, pods: [{at: .}]}\n", "f:3: kinds: kind A: class needs a why"},

		{"peers that are no list", head + "peers: {}\n", "f:2: peers is not a list"},
		{"a peer that is null", peers("null"), "f:3: a peer is not a mapping"},
		{"unknown field of a peer", peers("{name: a, ports: [1]}"), `f:3: unknown field "ports": it is one of name, namespace, pods, cidr, port, hosts`},
		{"a peer without a name", peers("{namespace: n, pods: {a: b}, port: 1}"), "f:3: peer: name is required"},
		{"a name of two lines", peers(`{name: "a\nb", namespace: n, pods: {a: b}, port: 1}`), `f:3: peer: name is "a\nb": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`},
		{"a peer that is nowhere", peers("{name: a, port: 1}"), "f:3: peer: it has neither namespace and pods nor a cidr"},
		{"a namespace without pods", peers("{name: a, namespace: n, port: 1}"), "f:3: peer: namespace without pods is every pod of it: name labels"},
		{"pods without a namespace", peers("{name: a, pods: {a: b}, port: 1}"), "f:3: peer: pods without a namespace: name the one that they are in"},
		{"pods without labels", peers("{name: a, namespace: n, pods: {}, port: 1}"), "f:3: peer: pods has no labels, which is every pod"},
		{"a label without a value", peers("{name: a, namespace: n, pods: {a: }, port: 1}"), "f:3: peer: pods.a is required"},
		{"a label that is none", peers("{name: a, namespace: n, pods: {a: 'b c'}, port: 1}"), `f:3: peer: pods: a: b c is no label: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')`},
		{"a peer without a port", peers("{name: a, namespace: n, pods: {a: b}}"), "f:3: peer: port is required"},
		{"a port that is text", peers("{name: a, namespace: n, pods: {a: b}, port: '443'}"), `f:3: peer: port is "443", not a number from 1 to 65535`},
		{"a port that is none", peers("{name: a, namespace: n, pods: {a: b}, port: 65536}"), `f:3: peer: port is "65536", not a number from 1 to 65535`},
		{"a block that is none", peers("{name: a, cidr: 10.0.0.1, port: 443}"), `f:3: peer: cidr is "10.0.0.1", not a block such as 10.20.0.0/24`},
		{"a block that is written as another", peers("{name: a, cidr: 10.20.0.1/24, port: 443}"), "f:3: peer: cidr is 10.20.0.1/24, which is 10.20.0.0/24"},
		{"everywhere", peers("{name: a, cidr: 0.0.0.0/0, port: 443}"), "f:3: peer: 0.0.0.0/0 is no peer: it is shorter than /8"},
		{"everywhere by IPv6", peers("{name: a, cidr: '::/0', port: 443}"), "f:3: peer: ::/0 is no peer: it is shorter than /32"},
		{"a part of the Internet", peers("{name: a, cidr: '2000::/12', port: 443}"), "f:3: peer: 2000::/12 is no peer: it is shorter than /32"},
		{"the metadata service", peers("{name: a, cidr: 169.254.169.254/32, port: 80}"), "f:3: peer: cidr is 169.254.169.254/32, at which no peer is: it is of one node alone, or of none"},
		{"the metadata service by IPv6", peers("{name: a, cidr: 'fd00:ec2::/64', port: 80}"), "f:3: peer: fd00:ec2::/64 includes fd00:ec2::254, where clouds hand out the node's credentials"},
		{"the metadata service in another form", peers("{name: a, cidr: '::ffff:169.254.169.254/128', port: 80}"), "f:3: peer: cidr is ::ffff:169.254.169.254/128, at which no peer is: it is of one node alone, or of none"},
		{"the metadata service as a host", peers("{name: a, cidr: 10.0.0.1/32, port: 80, hosts: [169.254.169.254]}"), "f:3: peer: hosts: 169.254.169.254 is where clouds hand out the node's credentials: it is never opened"},
		{"hosts that are no list", peers("{name: a, cidr: 10.0.0.1/32, port: 80, hosts: a}"), "f:3: peer: hosts is not a list of 1 to 64 names"},
		{"no hosts", peers("{name: a, cidr: 10.0.0.1/32, port: 80, hosts: []}"), "f:3: peer: hosts is not a list of 1 to 64 names"},
		{"every host", peers("{name: a, cidr: 10.0.0.1/32, port: 80, hosts: ['*.example']}"), `f:3: peer: hosts: "*.example" is no name of a host`},
		{"a peer twice", peers("{name: a, cidr: 10.0.0.1/32, port: 80}\n- {name: a, cidr: 10.0.0.2/32, port: 80}"), "f:4: peer: a is there twice"},

		{"images that are no list", head + "images: x\n", "f:2: images is not a list"},
		{"an image without a class", head + "images:\n- {match: a/b}\n", "f:3: image: class is required"},
		{"an image without a pattern", head + "images:\n- {class: retrieval}\n", "f:3: image: match is required"},
		{"an image with a tag", head + "images:\n- {match: 'a/b:1', class: retrieval}\n", `f:3: image: match is "a/b:1": it is a repository such as registry.example/team/*, without tag and digest`},
		{"every image", head + "images:\n- {match: '*/*', class: retrieval}\n", `f:3: image: match is "*/*", which is every image`},
		{"an image that is harmless", head + "images:\n- {match: a/b, class: none}\n", "f:3: image: class none raises nothing: an image catalogue says what an image can do, never that it is harmless"},
		{"an image of no class", head + "images:\n- {match: a/b, class: x}\n", `f:3: image: unknown risk class "x": it is one of none, unknown, inference, retrieval, tool-calling, code-execution`},
		{"unknown field of an image", head + "images:\n- {match: a/b, class: retrieval, name: x}\n", `f:3: unknown field "name": it is one of match, class`},
	}
}

func TestMistakesHaveALineAndAReason(t *testing.T) {
	for _, tt := range mistakes(t) {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("f", []byte(tt.text))
			if err == nil || err.Error() != tt.want {
				t.Errorf("error\n%v\nwant\n%s", err, tt.want)
			}
		})
	}
}

func TestFindLooksUpwards(t *testing.T) {
	root := t.TempDir()
	inner := filepath.Join(root, "a", "b")
	if err := os.MkdirAll(filepath.Join(inner, config.FileName), 0o755); err != nil { // a folder of that name is none
		t.Fatal(err)
	}
	want := filepath.Join(root, config.FileName)
	if err := os.WriteFile(want, []byte(head), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := config.Find(inner); err != nil || got != want {
		t.Errorf("Find = %q, %v; want %q", got, err, want)
	}
}

func TestReadFileIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big.yaml")
	if err := os.WriteFile(path, []byte(head+strings.Repeat("# filler\n", 150_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.ReadFile(path); err == nil || !strings.Contains(err.Error(), "larger than 1 MiB") {
		t.Errorf("error = %v", err)
	}
}

// FuzzParse: whatever the text, there is no panic; what is accepted is complete.
func FuzzParse(f *testing.F) {
	f.Add([]byte(head))
	f.Add([]byte(head + "waivers:\n- " + whole + "\n"))
	f.Add([]byte(head + "routes: {inference: [gvisor]}\nruntimeClasses: {kata: kata-qemu}\n"))
	f.Add([]byte(head + "routes: &a\n  inference: &b [gvisor]\n  retrieval: *b\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Add([]byte(head + "rules: {a: {enabled: off, reason: r}, b: {severity: info, reason: r}}\nruleFiles: [a]\n"))
	f.Add([]byte(head + "kinds: [{kind: A, pods: [{at: 'a[*].b', spec: [.]}]}]\nimages: [{match: a/*, class: retrieval}]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := config.Parse("f", text)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "f:") {
				t.Fatalf("error without the file: %v", err)
			}
			return
		}
		if err := c.Routes.Validate(); err != nil {
			t.Fatal(err)
		}
		base := &rules.Catalogue{}
		if _, _, err := c.Catalogue(base); err != nil && len(c.Rules)+len(c.Waivers) == 0 {
			t.Fatalf("the image catalogue makes no rules: %v", err)
		}
		if _, err := manifest.NewScheme(c.Kinds...); err != nil {
			t.Fatalf("a kind was accepted that is none: %v", err)
		}
		for _, w := range c.Waivers {
			if w.Owner == "" || w.Reason == "" || w.Ticket == "" || w.Expires.IsZero() || w.Kind == "" || w.Name == "" || (w.Rule == "") == (w.Boundary == 0) {
				t.Fatalf("an incomplete waiver was accepted: %+v", w)
			}
		}
	})
}
