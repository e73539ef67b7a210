// Package decide composes what the manifests say with the rule catalogue, the
// routes and the configuration into one outcome per workload: its class and
// flags with their evidence, the boundary that it needs and the one that it
// claims, and what to change. It is pure: everything is read before, and the
// time is passed in.
package decide

import (
	"fmt"
	"slices"
	"time"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/report"
	"github.com/bulkhead-dev/bulkhead/manifest"
	"github.com/bulkhead-dev/bulkhead/risk"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// Decider decides about workloads. It is safe for concurrent use.
type Decider struct {
	rules  *rules.Evaluator
	scheme *manifest.Scheme
	cfg    config.Config
	notes  []config.Note // about cfg
	now    time.Time
	// rowsOnly: decisions do not hold the workloads.
	rowsOnly bool
}

// RowsOnly returns a decider like d whose decisions keep no workload: what is
// only reported needs none, and thousands of them need memory.
func (d *Decider) RowsOnly() *Decider {
	out := *d
	out.rowsOnly = true
	return &out
}

// New returns a decider with the built-in rules and kinds, and those of the
// configuration. now is the moment by which waivers are judged.
func New(cfg config.Config, now time.Time) (*Decider, error) {
	return NewWith(rules.Builtin(), cfg, now)
}

// NewWith returns a decider with another catalogue in the place of the built-in.
func NewWith(catalogue *rules.Catalogue, cfg config.Config, now time.Time) (*Decider, error) {
	catalogue, notes, err := cfg.Catalogue(catalogue)
	if err != nil {
		return nil, fault.WithHint(fault.WithCode(err, fault.Usage), "`bulkhead rules` lists them")
	}
	evaluator, err := rules.NewEvaluator(catalogue)
	if err == nil {
		err = compileOwn(evaluator, cfg.Own)
	}
	if err != nil {
		return nil, fault.WithHint(fault.WithCode(fmt.Errorf("loading the rules: %w", err), fault.Usage), "`bulkhead rules test` checks own rules")
	}
	scheme, err := manifest.NewScheme(cfg.Kinds...)
	if err != nil {
		return nil, fmt.Errorf("loading the kinds: %w", err)
	}
	return &Decider{rules: evaluator, scheme: scheme, cfg: cfg, notes: notes, now: now}, nil
}

// compileOwn sees to it that a mistake in an own rule is said before the input
// is judged; the built-in rules are compiled when they are needed.
func compileOwn(e *rules.Evaluator, own *rules.Catalogue) error {
	if own == nil {
		return nil
	}
	for _, r := range own.Rules {
		inForce, ok := e.Catalogue().Rule(r.ID)
		if !ok {
			continue // switched off
		}
		if err := e.CompileRule(inForce); err != nil {
			return err
		}
	}
	return nil
}

// workload decides about one object, by all of its pods.
func (d *Decider) workload(pods []*manifest.Workload, ix *index) (Decision, error) {
	o := pods[0].Object
	j := &judgement{Decider: d, ix: ix}
	j.row = report.Workload{
		File: o.File, Line: line(o), Kind: o.Kind, Namespace: o.Namespace, Name: o.Name,
		Replicas: replicas(o), Evidence: []report.Evidence{}, Findings: []report.Finding{}, EgressPolicies: []string{},
	}
	for _, w := range pods {
		v := &view{w: w, pod: d.rules.Pod(w.Pod), files: ix.entries(w)}
		v.settled = v.pod
		if settled, from := ix.settled(w); len(from) > 0 {
			v.settled, v.settings = d.rules.Pod(settled), from
		}
		j.views = append(j.views, v)
	}
	if err := j.classify(); err != nil {
		return Decision{}, err
	}
	for _, j.view = range j.views {
		j.flags()
	}
	for _, j.view = range j.views {
		j.boundary()
		if j.w.Source != o {
			continue // the rest is told of where the template itself is judged
		}
		if err := j.baseline(); err != nil {
			return Decision{}, err
		}
		if err := j.namespace(); err != nil {
			return Decision{}, err
		}
		j.around()
	}
	j.view = j.decisive
	j.waive()
	j.row.Role = j.w.Role
	changes := j.open()
	j.row.Patch = patch(o, changes)
	return Decision{Row: j.row, Changes: changes, Pods: pods, Workload: j.w, Requirement: j.requirement, Accepted: j.accepted, Waiver: j.waiver, Matched: j.matched}, nil
}

// judgement is the work on one workload; its steps run in the order of workload.
type judgement struct {
	*Decider
	ix  *index
	row report.Workload
	// view is the pod that a step looks at.
	*view
	views []*view
	// decisive is the pod that shows the highest class.
	decisive *view

	requirement boundary.Requirement
	claim       boundary.Claim // the weakest of its pods
	accepted    boundary.Boundary
	waiver      *config.Waiver
	matched     []*config.Waiver
	changes     []change
}

// view is one pod of the workload, and what the input says about it.
type view struct {
	w   *manifest.Workload
	pod *rules.Pod
	// settled is the pod with the variables that envFrom takes from elsewhere.
	settled  *rules.Pod
	settings settings
	files    []configEntry // that it has from ConfigMaps of the input
	asks     []ask
	egress   egress
	token    token
}

// llm reports whether anything shows that it is an LLM workload.
func (j *judgement) llm() bool { return j.row.RiskClass > risk.None }

// kindRule is the rule for what an object's kind shows, with the class that the
// kind has.
const kindRule = "workload-kind"

// classify sets class, declared class, spawner and confidence from what the
// kind says and from the rules that see one pod alone: the highest of all pods.
func (j *judgement) classify() error {
	shown := tally{agree: map[risk.Class]int{}, behaviour: map[risk.Class]bool{}}
	j.view, j.decisive = j.views[0], j.views[0]
	for _, s := range j.w.Shown {
		if _, on := j.rules.Catalogue().Rule(kindRule); !on {
			break
		}
		shown.add(s.Class, true)
		value, _ := manifest.Lookup(j.w.Value, s.Path)
		j.evidenceIn(kindRule, j.w.Object, s.Path, report.Value(s.Path.String(), value))
		last := &j.row.Evidence[len(j.row.Evidence)-1]
		last.Class, last.Message = s.Class, s.Why
	}
	for _, j.view = range j.views {
		before := shown.class
		if err := j.behaviours(&shown); err != nil {
			return err
		}
		if err := j.configMaps(&shown); err != nil {
			return err
		}
		if shown.class > before {
			j.decisive = j.view
		}
	}
	j.view = j.decisive
	class := shown.class
	declared, ok := j.declared()
	switch {
	case ok && declared > class:
		class = declared
	case ok && declared < class:
		_, at := j.label(risk.ClassLabel)
		j.findIn("declared-class", j.w.Object, at, "", fmt.Sprintf("declared %s, but the evidence shows %s: evidence raises a class, a label never lowers it", declared, class))
	}
	j.row.RiskClass = class
	switch {
	case class > risk.Unknown && (ok && declared == class || shown.behaviour[class] || shown.agree[class] > 1):
		j.row.Confidence = report.High
	case class > risk.Unknown:
		j.row.Confidence = report.Medium
	default:
		j.row.Confidence = report.Low
	}
	return nil
}

// tally is what the evidence shows together.
type tally struct {
	class     risk.Class // the highest
	agree     map[risk.Class]int
	behaviour map[risk.Class]bool
}

func (t *tally) add(class risk.Class, behaviour bool) {
	t.class = max(t.class, class)
	t.agree[class]++
	t.behaviour[class] = t.behaviour[class] || behaviour
}

// behaviours adds what the rules find in one pod.
func (j *judgement) behaviours(shown *tally) error {
	catalogue := j.rules.Catalogue()
	for i := range catalogue.Rules {
		r := &catalogue.Rules[i]
		if r.Scope != rules.ScopePod || !r.Decides() {
			continue
		}
		matches, err := j.settled.Matches(r)
		if err != nil {
			return err
		}
		if len(matches) == 0 {
			continue
		}
		shown.add(r.Class, r.Kind == rules.Behaviour)
		j.row.Spawner = j.row.Spawner || r.Spawner
		for _, m := range matches {
			j.evidence(r, m)
		}
	}
	return nil
}

// label returns a label of the pod, else of the object that makes it, and where
// it stands in the object.
func (j *judgement) label(name string) (string, manifest.Path) {
	at := manifest.Path{"metadata", "labels", name}
	if v, ok := manifest.Lookup(j.w.Pod, at); ok {
		return fmt.Sprint(v), j.w.ObjectPath(at)
	}
	if v, ok := manifest.Lookup(j.w.Value, at); ok {
		return fmt.Sprint(v), at
	}
	return "", at
}

// declared returns the class that the workload's label declares.
func (j *judgement) declared() (risk.Class, bool) {
	text, at := j.label(risk.ClassLabel)
	if text == "" {
		return risk.None, false
	}
	pos, _ := j.w.Position(at)
	j.row.Declared, j.row.DeclaredLine = text, pos.Line
	class, err := risk.ParseClass(text)
	if err != nil {
		j.findIn("declared-class", j.w.Object, at, "", err.Error())
		return risk.None, false
	}
	return class, true
}

func (j *judgement) evidence(r *rules.Rule, m rules.Match) {
	if s, ok := j.settings.of(m.Path); ok {
		j.evidenceIn(r.ID, s.from, s.at, report.Value(manifest.Path(m.Path).String(), m.Value))
		return
	}
	path := j.w.ObjectPath(m.Path)
	j.evidenceIn(r.ID, j.w.Source, path, report.Value(path.String(), m.Value))
}

// evidenceIn is evidence at a path of any object of the input.
func (j *judgement) evidenceIn(id string, from *manifest.Object, at manifest.Path, value string) {
	r, ok := j.rules.Catalogue().Rule(id)
	if !ok {
		return // switched off
	}
	pos, _ := from.Position(at)
	ev := report.Evidence{
		Rule: r.ID, Class: r.Class, Path: at.String(), Line: pos.Line, Column: pos.Column, Value: value, Message: r.Message,
	}
	if from != j.w.Object {
		ev.Object = from.Kind + "/" + from.Name
		if from.File != j.w.File {
			ev.File = from.File
		}
	}
	j.row.Evidence = append(j.row.Evidence, ev)
}

// flags sets the flags that stand beside the class.
func (j *judgement) flags() {
	tenants, _ := j.label(risk.TenantDataLabel)
	j.row.TenantData = j.row.TenantData || tenants == "true"
	meta, _ := j.w.Pod["metadata"].(map[string]any)
	podLabels, _ := meta["labels"].(map[string]any)
	j.egress = j.ix.egress(j.w.Namespace, podLabels)
	j.row.BroadEgress = j.row.BroadEgress || j.egress.broad()
	for _, p := range j.egress.policies {
		if !slices.Contains(j.row.EgressPolicies, p.from.Name) {
			j.row.EgressPolicies = append(j.row.EgressPolicies, p.from.Name)
		}
	}
	if j.w.Bare != "" {
		return // what its controller mounts cannot be told
	}
	j.token = j.ix.token(j.w.Pod, j.w.Namespace)
	if account := &j.row.ServiceAccount; account.Name == "" || !account.Token {
		*account = report.ServiceAccount{Name: j.token.account, Token: j.token.mounted, Reason: j.token.reason}
	}
	j.spawner()
}
