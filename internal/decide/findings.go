package decide

import (
	"fmt"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// find adds a finding on the pod at a path of the pod. An empty message takes
// the rule's own; container is "" for the whole pod. It returns the finding for
// adjustment, or nil where the rule is switched off.
func (j *judgement) find(id string, at manifest.Path, container, message string) *report.Finding {
	return j.findIn(id, j.w.Source, j.w.ObjectPath(at), container, message)
}

// findIn adds a finding at a path of any object of the input.
func (j *judgement) findIn(id string, from *manifest.Object, at manifest.Path, container, message string) *report.Finding {
	r, ok := j.rules.Catalogue().Rule(id)
	if !ok {
		return nil
	}
	pos, _ := from.Position(at)
	f := report.Finding{
		Rule: id, Severity: r.Severity, Path: at.String(), Line: pos.Line, Column: pos.Column,
		Message: message, Fix: r.Fix, Container: container, Control: r.Control, Example: r.Example,
	}
	if message == "" {
		f.Message = r.Message
	}
	if from != j.w.Object {
		f.Object = from.Kind + "/" + from.Name
		if from.File != j.w.File {
			f.File = from.File
		}
	}
	j.row.Findings = append(j.row.Findings, f)
	return &j.row.Findings[len(j.row.Findings)-1]
}

// boundary sets what the workload needs, and what the pod has, and finds the
// difference. Of several pods the one that is furthest from it is told.
func (j *judgement) boundary() {
	j.asks = asks(j.w)
	className, _ := manifest.Lookup(j.w.Pod, manifest.Path{"spec", "runtimeClassName"})
	name, _ := className.(string)
	flags := risk.Flags{Spawner: j.row.Spawner, TenantData: j.row.TenantData, BroadEgress: j.row.BroadEgress}
	j.requirement = j.cfg.Routes.Require(j.row.RiskClass, flags)
	j.accepted = j.requirement.Boundary
	claim := boundary.NewClaim(name, j.ix.handlers)
	if j.w.Bare != "" {
		claim = boundary.Claim{Reason: j.w.Bare}
	}
	has := report.Boundary{
		Required: j.requirement.Boundary, Runtimes: j.requirement.Runtimes,
		RuntimeClassName: name, Handler: claim.Handler, Verdict: boundary.Judge(j.requirement.Boundary, claim),
		Reason: j.requirement.Reason, Claim: claim.Reason,
	}
	if claim.Boundary != 0 {
		has.Claimed = claim.Boundary.String()
	}
	if j.row.Boundary.Required == 0 || worse(has.Verdict, j.row.Boundary.Verdict) {
		j.row.Boundary, j.claim = has, claim
	}
	at := manifest.Path{"spec", "runtimeClassName"}
	switch has.Verdict {
	case boundary.Unsatisfied:
		f := j.find("boundary", at, "", fmt.Sprintf("needs %s, has %s: %s", has.Required, report.Has(has), has.Reason))
		j.fixBoundary(f, at)
	case boundary.Undecided:
		f := j.find("boundary-unknown", at, "", fmt.Sprintf("needs %s (%s), has %s: %s", has.Required, has.Reason, report.Has(has), has.Claim))
		j.fixUnknown(f, name)
	}
	if j.w.Source == j.w.Object {
		j.runtime(claim, has.Verdict)
	}
}

// worse reports whether a verdict is further from satisfied than another.
func worse(a, b boundary.Verdict) bool {
	order := []boundary.Verdict{boundary.Satisfied, boundary.Undecided, boundary.Unsatisfied}
	return slices.Index(order, a) > slices.Index(order, b)
}

// baseline adds what the pod lacks of the hardening controls. For a workload
// that shows nothing of an LLM they are told, and not held against it.
func (j *judgement) baseline() error {
	catalogue := j.rules.Catalogue()
	for i := range catalogue.Rules {
		r := &catalogue.Rules[i]
		if r.Scope != rules.ScopePod || r.Decides() {
			continue
		}
		matches, err := j.pod.Matches(r)
		if err != nil {
			return err
		}
		for _, m := range matches {
			f := j.find(r.ID, m.Path, m.Container, about(m.Container, r.Message))
			if !j.llm() {
				f.Severity = rules.Info
			}
			why := j.contradicted(r, m.Path)
			if f.Patched = r.Set != nil && why == ""; f.Patched {
				j.change(m.Path, j.more(m.Path, r.Set))
			}
			if why != "" {
				f.Fix = "take " + why + " away first: the API refuses both together; then " + f.Fix
			}
			if r.Control == "securityContext.runAsNonRoot" && j.runsAsRoot(m.Path) {
				j.change(sibling(m.Path, "runAsUser"), unprivileged)
			}
		}
	}
	return nil
}

// contradicted returns what of the container the API refuses together with the
// control of a rule; "" where it may be set.
func (j *judgement) contradicted(r *rules.Rule, at manifest.Path) string {
	if r.Control != "securityContext.allowPrivilegeEscalation" {
		return ""
	}
	if privileged, _ := manifest.Lookup(j.w.Pod, sibling(at, "privileged")); privileged == true {
		return "privileged"
	}
	added, _ := manifest.Lookup(j.w.Pod, sibling(at, "capabilities").Join("add"))
	list, _ := added.([]any)
	if slices.Contains(list, any("SYS_ADMIN")) || slices.Contains(list, any("CAP_SYS_ADMIN")) {
		return "capability SYS_ADMIN"
	}
	return ""
}

// more is a value to set; where both it and what stands there are lists, what
// stands there stays.
func (j *judgement) more(at manifest.Path, value any) any {
	items, isList := value.([]any)
	old, _ := manifest.Lookup(j.w.Pod, at)
	if has, both := old.([]any); isList && both {
		return append(slices.Clone(has), items...)
	}
	return value
}

// about says of which container a message is; "" is the whole pod, of which own
// rules may find something.
func about(container, message string) string {
	if container == "" {
		return message
	}
	return "container " + container + ": " + message
}

// unprivileged is the user that a patch gives to what says it runs as root.
const unprivileged = 10001

// runsAsRoot reports whether the container whose securityContext has the field
// at path names root as its user. With runAsNonRoot alone it would not start.
func (j *judgement) runsAsRoot(field manifest.Path) bool {
	user, ok := manifest.Lookup(j.w.Pod, sibling(field, "runAsUser"))
	if !ok {
		user, _ = manifest.Lookup(j.w.Pod, manifest.Path{"spec", "securityContext", "runAsUser"})
	}
	return user == int64(0)
}

// sibling returns the path of another field of the same mapping.
func sibling(p manifest.Path, name string) manifest.Path { return p[:len(p)-1].Join(name) }

// around adds what the objects around the pod, and its unknown fields, lack.
func (j *judgement) around() {
	for _, path := range j.w.Unknown {
		j.findIn("unknown-field", j.w.Object, path, "", fmt.Sprintf("the API server does not know the field %s and drops it", path))
	}
	if !j.llm() {
		return
	}
	switch e := j.egress; {
	case len(e.policies) == 0:
		j.find("egress-unlimited", manifest.Path{"spec"}, "", "")
	case e.wide != nil:
		j.findIn("egress-everywhere", e.wide, e.widePath, "", fmt.Sprintf("NetworkPolicy %s lets it send anywhere (%s)", e.wide.Name, e.wideTo))
	case e.forgotDNS():
		j.forgotDNS()
	}
	if e := j.egress; e.metadata != nil {
		j.findIn("egress-metadata", e.metadata, e.metadataPath, "", fmt.Sprintf("NetworkPolicy %s lets it reach the cloud's metadata service (%s), which hands out the node's credentials", e.metadata.Name, e.metadataBy))
	}
	j.configCode()
	j.exposed()
	if j.token.mounted {
		j.apiToken()
		j.powerful()
	}
}

func (j *judgement) forgotDNS() {
	missing := "UDP and TCP"
	if j.egress.dnsUDP {
		missing = "TCP"
	} else if j.egress.dnsTCP {
		missing = "UDP"
	}
	names := strings.Join(j.row.EgressPolicies, ", ")
	j.findIn("egress-without-dns", j.egress.policies[0].from, manifest.Path{"spec", "egress"}, "",
		fmt.Sprintf("NetworkPolicy %s names its peers and forgets DNS (port 53 over %s), so it cannot look them up", names, missing))
}

func (j *judgement) apiToken() {
	at := manifest.Path{"spec", "automountServiceAccountToken"}
	f := j.find("api-token", at, "", fmt.Sprintf("it mounts the API token of ServiceAccount %s: whatever runs in it can use that account's rights", j.token.account))
	switch {
	case f == nil:
	case len(j.ix.rights(j.w.Namespace, j.token.account)) > 0: // a patch would take away what it may need
		f.Fix = "keep the token only where it uses the rights of its roles; else " + f.Fix
	default:
		f.Patched = true
		j.change(at, false)
	}
}
