package harden

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/policy"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// PolicySet is what is to stand around one workload, of which the input has
// nothing yet.
type PolicySet struct {
	Workload *manifest.Object
	// Index is its place among the decisions.
	Index int
	Files []File
	// Policies are the names of those of Files that are NetworkPolicies, and of those
	// of the input that would be.
	Policies []string
	// Account is the account that its pods are to have; "" where they keep theirs.
	Account string
	// Findings are what a person has to say first.
	Findings []report.Finding
}

// File is a file with one object.
type File struct {
	Path string
	Text []byte
	// Rule is that of the finding which it mends, and Object what it has: its kind
	// and name.
	Rule, Object string
}

// Egress returns the policies that limit the way out, for those workloads of the
// input that nothing limits, in the order of the decisions. all: also for those
// that show nothing of an LLM. confining are the IsolationPolicies of the cluster,
// as far as they are known.
func Egress(out decide.Outcome, all bool, confining []*v1alpha1.IsolationPolicy) ([]PolicySet, error) {
	return sets(out, all, func(b *builder) error { return b.egress(confining) })
}

// Accounts returns an account of its own for each workload that runs as the
// default account of its namespace.
func Accounts(out decide.Outcome, all bool) ([]PolicySet, error) {
	return sets(out, all, (*builder).account)
}

func sets(out decide.Outcome, all bool, step func(*builder) error) ([]PolicySet, error) {
	n := out.Network()
	names := map[string]bool{}
	var sets []PolicySet
	for i, d := range out.Decisions {
		if d.Row.RiskClass == risk.None && !all || d.Row.Name == "" {
			continue
		}
		b := &builder{network: n, decision: d, names: names, set: PolicySet{Workload: d.Workload.Object, Index: i}}
		if err := step(b); err != nil {
			return nil, fmt.Errorf("%s/%s: %w", d.Row.Kind, d.Row.Name, err)
		}
		if len(b.set.Files)+len(b.set.Findings)+len(b.set.Policies) > 0 || b.set.Account != "" {
			sets = append(sets, b.set)
		}
	}
	return sets, nil
}

// builder makes the set of one workload.
type builder struct {
	network  *decide.Network
	decision decide.Decision
	names    map[string]bool // of files that are taken
	set      PolicySet
}

// PeerRule is the rule of findings about peers that cannot be known.
const PeerRule = "egress-peer"

func (b *builder) egress(confining []*v1alpha1.IsolationPolicy) error {
	row := b.decision.Row
	for _, way := range b.network.Ways(b.decision) {
		name := row.Name
		if way.Role != "" {
			name += "-" + way.Role
		}
		e := policy.Egress{Namespace: row.Namespace, Pods: way.Pods, Labels: labels(row.Name), Unconfined: true}
		switch {
		case way.Open:
			e.Name = objectName(name, "-named-peers")
		case way.NoDNS:
			e.Name = objectName(name, "-dns")
		default:
			continue
		}
		if b.network.Policy(row.Namespace, e.Name) {
			b.set.Policies = append(b.set.Policies, e.Name)
			continue
		}
		if way.Why != "" {
			b.find("no policy limits its egress, and none can be written: "+way.Why, "give its pods a label that no others have", "")
			continue
		}
		for _, p := range way.Peers {
			p.Said = b.said(p)
			e.Peers = append(e.Peers, p.Peer)
		}
		asked := slices.Concat(b.confined(e, confining), b.ask(e.Name, way.Unknown))
		e.Peers = append(e.Peers, policy.DNS())
		header := []string{fmt.Sprintf("The way out of %s %s: what is named here, and nothing else.", row.Kind, row.Name)}
		text, err := e.YAML(header, asked)
		if err != nil {
			return err
		}
		rule := "egress-unlimited"
		if way.NoDNS {
			rule = "egress-without-dns"
		}
		b.file(e.Name, text, rule, "NetworkPolicy "+e.Name)
		b.set.Policies = append(b.set.Policies, e.Name)
	}
	return nil
}

// addUp says of policies that allow everything that the new ones limit nothing
// beside them.
func (s PolicySet) addUp(findings []report.Finding) {
	for i, f := range findings {
		wide, ok := strings.CutPrefix(f.Object, "NetworkPolicy/")
		if f.Rule != "egress-everywhere" || !ok || len(s.Policies) == 0 {
			continue
		}
		findings[i].Message += fmt.Sprintf("; policies add up, so that %s limits nothing as long as the rule stays", strings.Join(s.Policies, " and "))
		findings[i].Fix = fmt.Sprintf("take %s out of NetworkPolicy %s, where nothing else needs it", f.Path, wide)
	}
}

// said are the lines above a peer: what it is, and who names it. Never a value.
func (b *builder) said(p decide.Named) []string {
	lines := slices.Clone(p.Said)
	if p.Service != nil {
		lines = []string{b.behind(p)}
	}
	for _, m := range p.Mentions {
		lines = append(lines, "  "+b.place(m.From.File, m.Line())+", "+m.What)
	}
	return lines
}

// behind says which Service's pods a peer is, and on which ports.
func (b *builder) behind(p decide.Named) string {
	var ports []string
	for _, port := range p.Ports {
		ports = append(ports, port.Port.String())
	}
	return fmt.Sprintf("Service %s (%s), port %s of its pods:", p.Service.Name, b.place(p.Service.File, lineOf(p.Service)), strings.Join(ports, ", "))
}

// place names a line of a file as seen from the folder of the workload's file.
func (b *builder) place(file string, line int) string {
	if rel, err := filepath.Rel(filepath.Dir(b.set.Workload.File), file); err == nil {
		file = rel
	}
	if b.set.Workload.Unit != nil {
		return filepath.ToSlash(file) // lines are those of what it renders to
	}
	return fmt.Sprintf("%s:%d", filepath.ToSlash(file), line)
}

func lineOf(o *manifest.Object) int {
	pos, _ := o.Position(nil)
	return pos.Line
}

// maxAsked is how many hosts a workload is asked about.
const maxAsked = 20

// ask finds the peers that cannot be known, and returns the lines of a comment
// that say how each is added.
func (b *builder) ask(name string, unknown []decide.Unknown) []string {
	var out []string
	for _, u := range unknown[:min(len(unknown), maxAsked)] {
		where := b.place(u.From.File, u.Line()) + ", " + u.What
		what := cmp.Or(host(u), "what it names")
		lines := linesFor(u)
		example := strings.Join(lines, "\n")
		fix := fmt.Sprintf("if it calls it, say in `peers` of bulkhead.yaml where it is, or add to spec.egress of NetworkPolicy %s:", name)
		if len(lines) == 0 {
			fix = "see that it does not call it"
		}
		b.find(fmt.Sprintf("NetworkPolicy %s does not let it reach %s (%s): %s", name, what, where, u.Why), fix, example)
		out = append(out, "", "Not allowed: "+what+" ("+where+"): "+u.Why+".")
		if len(lines) > 0 {
			out = append(out, "If it calls it, add to spec.egress:")
			for _, line := range lines {
				out = append(out, "    "+line)
			}
		}
	}
	return out
}

func host(u decide.Unknown) string {
	if u.Port != 0 && u.Host != "" {
		return fmt.Sprintf("%s:%d", u.Host, u.Port)
	}
	return u.Host
}

// linesFor are the lines of a policy that would allow a host. Words in capitals
// are for a person to replace, and no policy is valid before.
func linesFor(u decide.Unknown) []string {
	port := "PORT"
	if u.Port != 0 {
		port = fmt.Sprint(u.Port)
	}
	ports := "  ports: [{protocol: TCP, port: " + port + "}]"
	switch {
	case strings.Contains(u.Why, "metadata"):
		return nil
	case u.API:
		return []string{"- to: [{ipBlock: {cidr: ADDRESS-OF-THE-API-SERVER/32}}]", "  ports: [{protocol: TCP, port: PORT-OF-THE-API-SERVER}]"}
	case u.Service != "":
		return []string{
			"- to:",
			"    - namespaceSelector: {matchLabels: {" + policy.NamespaceLabel + ": " + u.Namespace + "}}",
			"      podSelector: {matchLabels: {LABEL-OF-ITS-PODS: VALUE}}",
			"  ports: [{protocol: TCP, port: PORT-OF-ITS-PODS}]",
		}
	case u.Host == "":
		return []string{
			"- to:",
			"    - namespaceSelector: {matchLabels: {" + policy.NamespaceLabel + ": NAMESPACE}}",
			"      podSelector: {matchLabels: {LABEL-OF-ITS-PODS: VALUE}}",
			ports,
		}
	}
	return []string{"- to: [{ipBlock: {cidr: ADDRESS-OF-A-GATEWAY-OR-OF-THE-HOST/32}}]", ports}
}

func (b *builder) find(message, fix, example string) {
	at := manifest.Path{"spec"}
	pos, _ := b.set.Workload.Position(at)
	b.set.Findings = append(b.set.Findings, report.Finding{
		Rule: PeerRule, Severity: rules.Warning, Path: at.String(), Line: pos.Line, Column: pos.Column,
		Message: message, Fix: fix, Example: example,
	})
}

// account gives a workload that runs as the namespace's default account one of
// its own, which can do nothing and whose token nobody gets.
func (b *builder) account() error {
	row := b.decision.Row
	a, ok := b.network.Account(b.decision)
	name := objectName(row.Name, "")
	if !ok || a.Name != "default" || a.Rights > 0 || name == "default" || len(decide.AccountPaths(b.decision)) == 0 {
		return nil
	}
	if b.network.HasAccount(row.Namespace, name) {
		return nil // somebody else's, for all that is known
	}
	b.set.Account = name
	sa := policy.ServiceAccount(name, row.Namespace, labels(row.Name))
	for _, s := range a.PullSecrets {
		sa.ImagePullSecrets = append(sa.ImagePullSecrets, corev1.LocalObjectReference{Name: s})
	}
	text, err := policy.Document(sa, policy.Comments{"": {fmt.Sprintf("The account of %s %s: it may do nothing, and no pod gets its token.", row.Kind, row.Name)}})
	if err != nil {
		return err
	}
	b.file(name+"-serviceaccount", text, accountRule, "ServiceAccount "+name)
	return nil
}

// file adds a file beside the workload's. Its name begins with that of the
// workload's file: workloads of one name in one folder are usual, for several
// environments.
func (b *builder) file(name string, text []byte, rule, object string) {
	name = plainName(name)
	dir, base := filepath.Split(b.set.Workload.File)
	if base = strings.TrimSuffix(base, filepath.Ext(base)); base != "" && !strings.HasPrefix(base, "<") && !strings.HasPrefix(name, base) {
		name = base + "-" + name
	}
	path := filepath.Join(dir, name+".yaml")
	for _, more := range []string{"-" + strings.ToLower(b.decision.Row.Kind), "-" + b.decision.Row.Namespace} {
		if b.names[path] {
			path = strings.TrimSuffix(path, ".yaml") + more + ".yaml"
		}
	}
	b.names[path] = true
	b.set.Files = append(b.set.Files, File{Path: path, Text: text, Rule: rule, Object: object})
}

// labels are those of the objects of a set.
func labels(workload string) map[string]string {
	if len(workload) > 63 {
		return nil
	}
	return map[string]string{"app.kubernetes.io/name": workload}
}

// objectName joins a name and an end, within what the API allows.
func objectName(name, end string) string {
	const longest = 253
	return strings.TrimRight(name[:min(len(name), longest-len(end))], ".-") + end
}

const accountRule = "own-account"

// WithAccounts adds to the plans that pods run as the accounts of the sets. out is
// what the plans were made from, with the same workloads in the same order as what
// the sets were made from.
func WithAccounts(plans []Plan, sets []PolicySet, out decide.Outcome) []Plan {
	for _, s := range sets {
		d := out.Decisions[s.Index]
		i := slices.IndexFunc(plans, func(p Plan) bool { return p.Decision.Workload.Object == d.Workload.Object })
		if i < 0 {
			i = len(plans)
			plans = append(plans, Plan{Decision: d, Kept: kept(d)})
		}
		for _, at := range decide.AccountPaths(plans[i].Decision) {
			plans[i].add(accountRule, at, s.Account)
		}
	}
	return plans
}
