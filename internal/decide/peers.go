package decide

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/internal/metadata"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// Network is what the input says about who talks to whom.
type Network struct {
	ix       *index
	services map[key]indexed[corev1.Service]
	pods     map[string][]seenPod // by namespace
	patterns patterns
}

type seenPod struct {
	of     *manifest.Object
	labels map[string]string
	ports  map[string]int32 // of its containers, by name
	// account is the name of its ServiceAccount.
	account string
}

// Network indexes the Services and pods of the input.
func (o Outcome) Network() *Network {
	n := &Network{ix: o.index, services: map[key]indexed[corev1.Service]{}, pods: map[string][]seenPod{}, patterns: newPatterns()}
	for _, from := range o.index.services {
		s := indexed[corev1.Service]{from: from}
		if runtime.DefaultUnstructuredConverter.FromUnstructured(from.Value, &s.obj) == nil {
			n.services[key{namespaceOf(from.Namespace), from.Name}] = s
		}
	}
	for _, d := range o.Decisions {
		for _, w := range d.Pods {
			ns := namespaceOf(w.Namespace)
			n.pods[ns] = append(n.pods[ns], seenPod{of: w.Object, labels: podLabels(w), ports: podPorts(w), account: n.ix.token(w.Pod, ns).account})
		}
	}
	return n
}

// Way is the way out that one pod of a workload needs.
type Way struct {
	Role string // which of several pods; "" where there is one
	// Pods are labels that select the pod and no other of the input; empty where
	// there are none, and Why says so.
	Pods map[string]string
	Why  string
	// Open: nothing limits its egress. NoDNS: policies do, and forget DNS.
	Open, NoDNS bool
	Peers       []Named
	// Unknown are hosts that no object of the input stands behind.
	Unknown []Unknown
}

// Named is a peer that the pod names and the input has, or one of the configuration.
type Named struct {
	policy.Peer
	Service  *manifest.Object // nil for one of the configuration, which Said names
	Mentions []Mention
}

// Unknown is a host that is named, and why it is no peer.
type Unknown struct {
	Mention
	Why string
	// Service and Namespace are of a Service that is not in the input, or that has
	// no pods in it.
	Service, Namespace string
	// API: it is the cluster's API server.
	API bool
}

// Ways returns the ways out that a workload needs, one for each of its pods.
func (n *Network) Ways(d Decision) []Way {
	var out []Way
	for _, w := range d.Pods {
		way := Way{Role: w.Role}
		way.Pods, way.Why = n.selector(w)
		labels := map[string]any{}
		for k, v := range podLabels(w) {
			labels[k] = v
		}
		e := n.ix.egress(w.Namespace, labels)
		way.Open, way.NoDNS = e.broad(), e.forgotDNS()
		if way.Open && w.Bare == "" {
			n.peers(&way, w)
		}
		out = append(out, way)
	}
	return out
}

// Policy reports whether the input has a NetworkPolicy of the name.
func (n *Network) Policy(namespace, name string) bool {
	return slices.ContainsFunc(n.ix.policies, func(p indexed[networkingv1.NetworkPolicy]) bool {
		return namespaceOf(p.from.Namespace) == namespaceOf(namespace) && p.from.Name == name
	})
}

func podLabels(w *manifest.Workload) map[string]string {
	v, _ := manifest.Lookup(w.Pod, manifest.Path{"metadata", "labels"})
	labels, _ := v.(map[string]any)
	out := make(map[string]string, len(labels))
	for k, v := range labels {
		if s, ok := v.(string); ok {
			out[k] = s
		}
	}
	return out
}

func podPorts(w *manifest.Workload) map[string]int32 {
	out := map[string]int32{}
	spec, _ := w.Pod["spec"].(map[string]any)
	eachContainer(spec, func(_ string, _ int, c map[string]any) {
		ports, _ := c["ports"].([]any)
		for _, p := range ports {
			port, _ := p.(map[string]any)
			if number, ok := port["containerPort"].(int64); ok && str(port["name"]) != "" {
				out[str(port["name"])] = int32(number)
			}
		}
	})
	return out
}

// selector returns labels that select a pod and no other workload's of the input:
// those by which its controller knows it, else all that it has.
func (n *Network) selector(w *manifest.Workload) (labels map[string]string, why string) {
	all := podLabels(w)
	if w.Bare != "" {
		return nil, "its pods are written by a controller, with labels that the input does not show"
	}
	if len(all) == 0 {
		return nil, "its pods have no labels that a policy could select"
	}
	narrow := map[string]string{}
	if v, ok := manifest.Lookup(w.Object.Whole().Value, manifest.Path{"spec", "selector", "matchLabels"}); ok && w.Source == w.Object {
		match, _ := v.(map[string]any)
		for k, v := range match {
			if s := str(v); all[k] == s {
				narrow[k] = s
			}
		}
	}
	for _, labels := range []map[string]string{narrow, all} {
		if len(labels) > 0 && !n.others(w, labels) {
			return labels, ""
		}
	}
	return nil, "another workload's pods have the same labels, and the policy would be theirs too"
}

// others reports whether labels select pods of another workload.
func (n *Network) others(w *manifest.Workload, labels map[string]string) bool {
	return slices.ContainsFunc(n.pods[namespaceOf(w.Namespace)], func(p seenPod) bool {
		same := p.of.Kind == w.Kind && p.of.Name == w.Name // also in another overlay
		return !same && subset(labels, p.labels)
	})
}

func subset(of, labels map[string]string) bool {
	for k, v := range of {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// peers sorts what the pod names into what the input has, and the rest.
func (n *Network) peers(way *Way, w *manifest.Workload) {
	asked := map[string]bool{}
	mentions := n.ix.mentions(w, n.patterns)
	if t := n.ix.token(w.Pod, w.Namespace); t.mounted {
		mentions = slices.Insert(mentions, 0, Mention{From: w.Object, What: "the token of ServiceAccount " + t.account, Host: apiHost})
	}
	for _, m := range mentions {
		to, unknown, ok := n.resolve(w, m)
		declared := n.declared(m, unknown)
		switch {
		case ok:
			way.add(to, &m)
		case len(declared) > 0:
			for _, p := range declared {
				way.add(configured(w, p), &m)
			}
		case unknown.Why != "":
			id := fmt.Sprint(m.Host, ":", m.Port)
			switch {
			case m.Host == "":
				id = m.What
			case unknown.API:
				id = apiHost
			}
			if !asked[id] {
				asked[id] = true
				way.Unknown = append(way.Unknown, unknown)
			}
		}
	}
	for _, p := range n.ix.peers {
		if len(p.Hosts) == 0 {
			way.add(configured(w, p), nil)
		}
	}
	slices.SortStableFunc(way.Peers, func(a, b Named) int {
		switch {
		case a.Service == b.Service: // of the configuration, in its order
			return 0
		case a.Service == nil:
			return 1
		case b.Service == nil:
			return -1
		}
		return cmp.Or(cmp.Compare(a.Service.Namespace, b.Service.Namespace), cmp.Compare(a.Service.Name, b.Service.Name))
	})
}

// add adds a peer, or where it is there already, what names it.
func (way *Way) add(to Named, by *Mention) {
	i := slices.IndexFunc(way.Peers, func(o Named) bool { return reflect.DeepEqual(o.To, to.To) && reflect.DeepEqual(o.Ports, to.Ports) })
	if i < 0 {
		i = len(way.Peers)
		way.Peers = append(way.Peers, to)
	}
	mentions := &way.Peers[i].Mentions
	if by != nil && !slices.ContainsFunc(*mentions, func(o Mention) bool { return o.From == by.From && o.Line() == by.Line() }) {
		*mentions = append(*mentions, *by)
	}
}

// declared returns the peers that the configuration has for a host.
func (n *Network) declared(m Mention, unknown Unknown) []config.Peer {
	var out []config.Peer
	for _, p := range n.ix.peers {
		if slices.Contains(p.Hosts, m.Host) || unknown.API && slices.Contains(p.Hosts, apiHost) {
			out = append(out, p)
		}
	}
	return out
}

// configured is a peer of the configuration as one of a pod, from whose own
// namespace its pods are selected as those behind a Service are.
func configured(w *manifest.Workload, p config.Peer) Named {
	to := Named{Peer: p.Peer}
	to.To = slices.Clone(to.To)
	for i := range to.To {
		if to.To[i].Namespace == namespaceOf(w.Namespace) {
			to.To[i].Namespace = ""
		}
	}
	return to
}

// resolve says which pods a mention means. Neither a peer nor unknown is what is
// no name of a host after all.
func (n *Network) resolve(w *manifest.Workload, m Mention) (Named, Unknown, bool) {
	if m.Host == "" {
		return Named{}, Unknown{Mention: m, Why: "its value is in a Secret, which is not looked into"}, false
	}
	if metadata.IsHost(m.Host) {
		return Named{}, Unknown{Mention: m, Why: "it is the cloud's metadata service, which hands out the node's credentials: never opened"}, false
	}
	if _, err := netip.ParseAddr(m.Host); err == nil {
		if m.known {
			return Named{}, Unknown{}, false
		}
		return Named{}, Unknown{Mention: m, Why: "it is an address, and the input does not show whose"}, false
	}
	keys, certain := service(m.Host, w.Namespace)
	if len(keys) > 0 && keys[0] == (key{metav1.NamespaceDefault, "kubernetes"}) {
		return Named{}, api(m), false
	}
	for _, k := range keys {
		if s, ok := n.services[k]; ok {
			return n.behind(w, m, s)
		}
	}
	switch {
	case certain && len(keys) > 0 && (!m.known || strings.HasSuffix(strings.TrimSuffix(m.Host, ".cluster.local"), ".svc")):
		return Named{}, Unknown{Mention: m, Why: fmt.Sprintf("Service %s is not in the input", keys[0].name), Service: keys[0].name, Namespace: keys[0].namespace}, false
	case m.known:
		return Named{}, Unknown{}, false
	}
	return Named{}, Unknown{Mention: m, Why: "it is outside of the cluster, and a NetworkPolicy names no hosts"}, false
}

const apiHost = "kubernetes.default.svc"

// api says why the API server is no peer that the input could show.
func api(m Mention) Unknown {
	m.Host, m.Port = apiHost, 0
	return Unknown{Mention: m, API: true, Why: "a policy sees the API server's own address and port, which `kubectl get endpoints kubernetes` shows, and not the Service's"}
}

// behind returns the pods behind a Service, on the ports that they are reached at.
func (n *Network) behind(w *manifest.Workload, m Mention, s indexed[corev1.Service]) (Named, Unknown, bool) {
	at := Unknown{Mention: m, Service: s.from.Name, Namespace: namespaceOf(s.from.Namespace)}
	if len(s.obj.Spec.Selector) == 0 || s.obj.Spec.Type == corev1.ServiceTypeExternalName {
		at.Why = fmt.Sprintf("Service %s selects no pods", s.from.Name)
		return Named{}, at, false
	}
	ports := n.ports(s, m)
	if len(ports) == 0 {
		if m.known {
			return Named{}, Unknown{}, false
		}
		at.Why = fmt.Sprintf("Service %s has no port %d", s.from.Name, m.Port)
		return Named{}, at, false
	}
	to := policy.Destination{Pods: s.obj.Spec.Selector}
	if s.from.Namespace != w.Namespace {
		to.Namespace = namespaceOf(s.from.Namespace)
	}
	return Named{Peer: policy.Peer{To: []policy.Destination{to}, Ports: ports}, Service: s.from}, Unknown{}, true
}

// ports returns those of the pods behind a Service: what policies see. Where the
// mention does not say one, it is every port of the Service.
func (n *Network) ports(s indexed[corev1.Service], m Mention) []policy.Port {
	if s.obj.Spec.ClusterIP == corev1.ClusterIPNone && m.said {
		return []policy.Port{{Protocol: corev1.ProtocolTCP, Port: intstr.FromInt32(m.Port)}} // nothing translates it
	}
	find := func(port int32) []policy.Port {
		var out []policy.Port
		for _, p := range s.obj.Spec.Ports {
			if port != 0 && p.Port != port {
				continue
			}
			to := policy.Port{Protocol: cmp.Or(p.Protocol, corev1.ProtocolTCP), Port: n.target(s, p)}
			if !slices.Contains(out, to) {
				out = append(out, to)
			}
		}
		return out
	}
	if out := find(m.Port); len(out) > 0 || m.said {
		return out
	}
	return find(0) // the default of the scheme is not what is meant
}

// target returns the port of the pods: a name is turned into its number where
// all pods of the input agree about it.
func (n *Network) target(s indexed[corev1.Service], p corev1.ServicePort) intstr.IntOrString {
	switch {
	case p.TargetPort == intstr.IntOrString{}:
		return intstr.FromInt32(p.Port)
	case p.TargetPort.Type == intstr.Int:
		return p.TargetPort
	}
	numbers := map[int32]bool{}
	for _, pod := range n.pods[namespaceOf(s.from.Namespace)] {
		if subset(s.obj.Spec.Selector, pod.labels) {
			if number, ok := pod.ports[p.TargetPort.StrVal]; ok {
				numbers[number] = true
			}
		}
	}
	if len(numbers) != 1 {
		return p.TargetPort
	}
	return intstr.FromInt32(slices.Collect(maps.Keys(numbers))[0])
}
