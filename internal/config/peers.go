package config

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/bulkhead-dev/bulkhead/internal/metadata"
	"github.com/bulkhead-dev/bulkhead/policy"
)

// Peer is where workloads may send packets although no manifest shows it: a model
// gateway, a collector of telemetry, an egress gateway.
type Peer struct {
	// Peer says where, with a comment that names this file.
	policy.Peer
	Name string
	// Hosts are names under which workloads know it: it is a peer of those that
	// name one. Without hosts it is one of every workload.
	Hosts []string
	Line  int
}

// maxPeers bounds the peers, and the hosts of one.
const maxPeers = 64

func (c *Config) readPeers(n *yaml.Node) error {
	if n.Kind != yaml.SequenceNode {
		return wrong(n, "peers is not a list")
	}
	if len(n.Content) > maxPeers {
		return wrong(n, "%d peers: there are at most %d", len(n.Content), maxPeers)
	}
	for _, item := range n.Content {
		p, err := readPeer(deref(item), filepath.Base(c.File))
		if err != nil {
			return err
		}
		if slices.ContainsFunc(c.Peers, func(o Peer) bool { return o.Name == p.Name }) {
			return wrong(item, "peer: %s is there twice", p.Name)
		}
		c.Peers = append(c.Peers, p)
	}
	return nil
}

func readPeer(n *yaml.Node, file string) (Peer, error) {
	form, err := mapping(n, "a peer", "name", "namespace", "pods", "cidr", "port", "hosts")
	if err != nil {
		return Peer{}, err
	}
	form.prefix = "peer: "
	p := Peer{Line: n.Line}
	if err := form.text("name", &p.Name, true); err != nil {
		return Peer{}, err
	}
	if why := validation.IsDNS1123Label(p.Name); len(why) > 0 {
		return Peer{}, wrong(form.at("name"), "peer: name is %q: %s", p.Name, why[0])
	}
	if err := p.readPods(form); err != nil {
		return Peer{}, err
	}
	if err := p.readBlock(form); err != nil {
		return Peer{}, err
	}
	if len(p.To) == 0 {
		return Peer{}, wrong(n, "peer: it has neither namespace and pods nor a cidr")
	}
	if err := p.readPort(form); err != nil {
		return Peer{}, err
	}
	if err := p.readHosts(form); err != nil {
		return Peer{}, err
	}
	p.Said = []string{p.Name + " (" + file + ":" + strconv.Itoa(p.Line) + ", peers)"}
	if err := p.Validate(); err != nil {
		return Peer{}, wrong(n, "peer: %v", err)
	}
	return p, nil
}

// readPods reads pods of a namespace. Neither stands without the other: it would
// be every pod of the namespace, or pods of whatever namespace.
func (p *Peer) readPods(form *fields) error {
	var to policy.Destination
	if err := form.text("namespace", &to.Namespace, false); err != nil {
		return err
	}
	n := form.value("pods")
	switch {
	case n == nil && to.Namespace == "":
		return nil
	case n == nil:
		return wrong(form.at("namespace"), "peer: namespace without pods is every pod of it: name labels")
	case to.Namespace == "":
		return wrong(n, "peer: pods without a namespace: name the one that they are in")
	}
	if why := validation.IsDNS1123Label(to.Namespace); len(why) > 0 {
		return wrong(form.at("namespace"), "peer: namespace is %q: %s", to.Namespace, why[0])
	}
	pods, err := mapping(n, "peer: pods")
	if err != nil {
		return err
	}
	if len(pods.fields) == 0 {
		return wrong(n, "peer: pods has no labels, which is every pod")
	}
	pods.prefix = "peer: pods."
	to.Pods = map[string]string{}
	for _, f := range pods.fields {
		var value string
		if err := pods.text(f.key.Value, &value, true); err != nil {
			return err
		}
		if why := slices.Concat(validation.IsQualifiedName(f.key.Value), validation.IsValidLabelValue(value)); len(why) > 0 {
			return wrong(f.key, "peer: pods: %s: %s is no label: %s", f.key.Value, value, why[0])
		}
		to.Pods[f.key.Value] = value
	}
	p.To = append(p.To, to)
	return nil
}

// readBlock reads a block of addresses that can be a peer: of machines, and named
// as what it is.
func (p *Peer) readBlock(form *fields) error {
	var cidr string
	if err := form.text("cidr", &cidr, false); err != nil || cidr == "" {
		return err
	}
	block, err := netip.ParsePrefix(cidr)
	switch at := form.at("cidr"); {
	case err != nil:
		return wrong(at, "peer: cidr is %q, not a block such as 10.20.0.0/24", cidr)
	case block != block.Masked():
		return wrong(at, "peer: cidr is %s, which is %s", cidr, block.Masked())
	case block.Bits() > 0 && (!block.Addr().IsGlobalUnicast() || block.Addr().Is4In6()):
		return wrong(at, "peer: cidr is %s, at which no peer is: it is of one node alone, or of none", cidr)
	}
	p.To = append(p.To, policy.Destination{Block: block})
	return nil
}

func (p *Peer) readPort(form *fields) error {
	var text string
	if err := form.text("port", &text, true); err != nil {
		return err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 || form.at("port").ShortTag() != "!!int" {
		return wrong(form.at("port"), "peer: port is %q, not a number from 1 to 65535", text)
	}
	p.Ports = []policy.Port{{Protocol: corev1.ProtocolTCP, Port: intstr.FromInt32(int32(port))}}
	return nil
}

func (p *Peer) readHosts(form *fields) error {
	n := form.value("hosts")
	if n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode || len(n.Content) == 0 || len(n.Content) > maxPeers {
		return wrong(n, "peer: hosts is not a list of 1 to %d names", maxPeers)
	}
	for _, item := range n.Content {
		item = deref(item)
		host := strings.ToLower(item.Value)
		if item.Kind != yaml.ScalarNode || len(validation.IsDNS1123Subdomain(host)) > 0 {
			return wrong(item, "peer: hosts: %q is no name of a host", item.Value)
		}
		if metadata.IsHost(host) {
			return wrong(item, "peer: hosts: %s is where clouds hand out the node's credentials: it is never opened", host)
		}
		p.Hosts = append(p.Hosts, host)
	}
	return nil
}
