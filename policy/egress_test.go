package policy_test

import (
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulkhead-dev/bulkhead/policy"
)

func agent() policy.Egress {
	return policy.Egress{
		Name: "agent-named-peers", Namespace: "agents", Pods: map[string]string{"app": "agent"},
		Labels: map[string]string{"app.kubernetes.io/name": "agent"}, Unconfined: true,
		Peers: []policy.Peer{
			{
				To:    []policy.Destination{{Pods: map[string]string{"app": "store", "tier": "true"}}},
				Ports: []policy.Port{{Port: intstr.FromInt32(6333)}, {Protocol: corev1.ProtocolUDP, Port: intstr.FromString("gossip")}},
				Said:  []string{"Service store:", "  agent.yaml:3, env A\nB: {}"},
			},
			{
				To:    []policy.Destination{{Namespace: "gateway", Pods: map[string]string{"app": "gateway"}}, {Block: netip.MustParsePrefix("10.2.3.4/24")}},
				Ports: []policy.Port{{Port: intstr.FromInt32(443)}},
			},
			policy.DNS(),
		},
	}
}

func TestEgressGolden(t *testing.T) {
	got, err := agent().YAML([]string{"The way out of Pod agent."}, []string{"", "Not allowed: api.example\r\nkind: Pod"})
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/egress.golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s\n%s", diff, got)
	}
}

// TestRefused: what would open more than what is named is no policy.
func TestRefused(t *testing.T) {
	block := func(s string) func(*policy.Egress) {
		return func(e *policy.Egress) { e.Peers[1].To[1].Block = netip.MustParsePrefix(s) }
	}
	for want, change := range map[string]func(*policy.Egress){
		"selects no pods":                 func(e *policy.Egress) { e.Pods = nil },
		"without destinations or without": func(e *policy.Egress) { e.Peers[0].To = nil },
		"or without ports":                func(e *policy.Egress) { e.Peers[0].Ports = nil },
		"neither labels":                  func(e *policy.Egress) { e.Peers[0].To[0].Pods = nil },
		"not both":                        func(e *policy.Egress) { e.Peers[1].To[1].Namespace = "x" },
		"shorter than /8":                 block("0.0.0.0/0"),
		"includes 169.254.169.254":        block("169.254.0.0/16"),
		"includes 169.254.170.2":          block("169.254.170.0/24"),
		"includes fd00:ec2::254":          block("fd00:ec2::/32"),
		"includes fd20:ce::254":           block("fd20:ce::/64"),
		"includes 100.100.100.200":        block("100.64.0.0/10"),
		"port 0":                          func(e *policy.Egress) { e.Peers[0].Ports[0].Port = intstr.FromInt32(0) },
		"port NAME":                       func(e *policy.Egress) { e.Peers[0].Ports[0].Port = intstr.FromString("NAME") },
	} {
		e := agent()
		change(&e)
		if _, err := policy.NetworkPolicy(e); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

func TestAccountGolden(t *testing.T) {
	role, err := policy.Role("agent", "agents", nil, []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}}})
	if err != nil {
		t.Fatal(err)
	}
	var got string
	for _, o := range []any{policy.ServiceAccount("agent", "agents", nil), role, policy.RoleBinding("agent", "agents", nil, "agent")} {
		text, err := policy.Document(o, nil)
		if err != nil {
			t.Fatal(err)
		}
		got += "---\n" + string(text)
	}
	want, err := os.ReadFile("testdata/account.golden.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s\n%s", diff, got)
	}
	for _, rule := range []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "*"}},
		{APIGroups: []string{"*"}, Resources: []string{"pods"}, Verbs: []string{"get"}},
		{APIGroups: []string{""}, Resources: []string{"*"}, Verbs: []string{"get"}},
		{APIGroups: []string{""}, Verbs: []string{"get"}},
	} {
		if _, err := policy.Role("agent", "agents", nil, []rbacv1.PolicyRule{rule}); err == nil {
			t.Errorf("%v is rendered", rule)
		}
	}
}
