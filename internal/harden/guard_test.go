package harden_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/admission"
	"github.com/bulkhead-dev/bulkhead/internal/harden"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// guard is the API server of a cluster in which policies are in force.
func guard(t *testing.T, policies []*v1alpha1.IsolationPolicy) *admission.Server {
	t.Helper()
	catalogue := rules.Builtin()
	objects, err := policy.Render(policy.Input{Policies: policies, Rules: catalogue})
	if err != nil {
		t.Fatal(err)
	}
	s, err := admission.New(objects)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func confining(t *testing.T, name string, text []byte) []*v1alpha1.IsolationPolicy {
	t.Helper()
	policies, wrong := harden.Confining(manifest.Read(name, bytes.NewReader(text), manifest.DefaultLimits()).Objects)
	if len(wrong) > 0 || len(policies) == 0 {
		t.Fatal(wrong, len(policies))
	}
	return policies
}

func defaultPolicy(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", "policies", "default.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// refuses says what an API server has against an object; "" where it takes it.
func refuses(t *testing.T, s *admission.Server, o map[string]any) string {
	t.Helper()
	metadata, _ := o["metadata"].(map[string]any)
	namespace, _ := metadata["namespace"].(string)
	if namespace == "" {
		namespace = corev1.NamespaceDefault
	}
	v, err := s.Admit(admission.Request{Object: o, Namespace: namespace, Time: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(v.Denied, "; ")
}

// TestGuardTakesWhatIsWritten: the default IsolationPolicy, enforced, refuses none
// of the NetworkPolicies that harden writes. Those that select confined pods too
// would be refused.
func TestGuardTakesWhatIsWritten(t *testing.T) {
	d := newDecider(t)
	policies := confining(t, "default.yaml", defaultPolicy(t))
	s := guard(t, policies)
	written, refused, wide, asked := 0, 0, 0, 0
	all := cases(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		sets, err := harden.Egress(judge(t, d, name, all[name]).outcome, true, policies)
		if err != nil {
			t.Fatal(err)
		}
		for _, set := range sets {
			for _, f := range set.Findings {
				if strings.Contains(f.Message, "IsolationPolicy default") {
					asked++
				}
			}
			for _, f := range set.Files {
				o := manifest.Read(f.Path, bytes.NewReader(f.Text), manifest.DefaultLimits()).Objects[0].Whole().Value
				written++
				if why := refuses(t, s, o); why != "" {
					refused++
					t.Errorf("%s: %s: %s", name, f.Object, why)
				}
				selector := o["spec"].(map[string]any)["podSelector"].(map[string]any)
				delete(selector, "matchExpressions")
				if refuses(t, s, o) != "" {
					wide++
				}
			}
		}
	}
	t.Logf("of %d NetworkPolicies %d are refused; %d would be if they selected confined pods; %d findings name what an IsolationPolicy does not open", written, refused, wide, asked)
	if os.Getenv("BULKHEAD_CORPUS") == "" {
		t.Skip("BULKHEAD_CORPUS does not name a folder of manifests: the examples alone are taken by any guard")
	}
	if wide == 0 || asked == 0 {
		t.Error("the guard refuses nothing: the check shows nothing")
	}
}

const (
	agentAndStore = `
apiVersion: v1
kind: Pod
metadata: {name: agent, namespace: agents, labels: {app: agent, bulkhead.dev/risk-class: CLASS}}
spec:
  automountServiceAccountToken: false
  containers:
    - {name: agent, image: a, env: [{name: STORE_URL, value: "http://store:80"}]}
---
apiVersion: v1
kind: Service
metadata: {name: store, namespace: agents}
spec: {selector: {app: store}, ports: [{port: 80, targetPort: 6333}]}
`
	storeLines = "- riskClasses: [tool-calling]\n  peers:\n  - {namespace: agents, port: 6333}"
)

// TestConfinedPeers: a peer that the class's egress does not have is a finding with
// the lines to add, and with them there is none.
func TestConfinedPeers(t *testing.T) {
	without := string(defaultPolicy(t))
	with := strings.Replace(without, "  egress:\n", "  egress:\n  "+strings.ReplaceAll(storeLines, "\n", "\n  ")+"\n", 1)
	s := guard(t, confining(t, "default.yaml", defaultPolicy(t)))
	for _, c := range []struct {
		name, class, policy string
		want                bool
	}{
		{"not opened", "tool-calling", without, true},
		{"opened", "tool-calling", with, false},
		{"opened for another class", "retrieval", with, true},
		{"a class that is not confined", "inference", without, false},
		{"another namespace", "tool-calling", strings.Replace(without, "exclude: [kube-system]", "exclude: [kube-system, agents]", 1), false},
		{"only warned", "tool-calling", strings.Replace(without, "mode: Enforce  ", "mode: Warn  ", 1), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			is := judge(t, newDecider(t), "a.yaml", []byte(strings.ReplaceAll(agentAndStore, "CLASS", c.class)))
			sets, err := harden.Egress(is.outcome, false, confining(t, "policy.yaml", []byte(c.policy)))
			if err != nil || len(sets) != 1 || len(sets[0].Files) != 1 {
				t.Fatal(sets, err)
			}
			set := sets[0]
			if c.want != (len(set.Findings) == 1) {
				t.Fatalf("findings: %+v", set.Findings)
			}
			if lines := strings.Replace(storeLines, "tool-calling", c.class, 1); c.want && set.Findings[0].Example != lines {
				t.Errorf("to add:\n%s\nwant\n%s", set.Findings[0].Example, lines)
			}
			text := string(set.Files[0].Text)
			if !strings.Contains(text, "#       - {namespace: agents, port: 6333}\n") {
				t.Errorf("the file does not say what to add:\n%s", text)
			}
			o := manifest.Read("a", strings.NewReader(text), manifest.DefaultLimits()).Objects[0].Whole().Value
			if why := refuses(t, s, o); why != "" {
				t.Error(why)
			}
		})
	}
}

// TestConfinedUnsaid: addresses and named ports, which no IsolationPolicy has.
func TestConfinedUnsaid(t *testing.T) {
	text := strings.NewReplacer("CLASS", "code-execution", "targetPort: 6333", "targetPort: web").Replace(agentAndStore)
	sets, err := harden.Egress(judge(t, newDecider(t), "a.yaml", []byte(text)).outcome, false, confining(t, "p", defaultPolicy(t)))
	if err != nil || len(sets) != 1 || len(sets[0].Findings) != 1 {
		t.Fatal(sets, err)
	}
	if got := sets[0].Findings[0].Message; !strings.HasSuffix(got, "and so not agents port web") {
		t.Error(got)
	}
}
