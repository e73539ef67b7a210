package report

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/risk/rules"
)

// The parts of SARIF 2.1.0 (OASIS) that a report uses; docs/adr says why these
// are plain structs.
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool        sarifTool         `json:"tool"`
		Invocations []sarifInvocation `json:"invocations"`
		ColumnKind  string            `json:"columnKind"`
		Results     []sarifResult     `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name           string      `json:"name"`
		InformationURI string      `json:"informationUri"`
		Version        string      `json:"version"`
		Rules          []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID                   string          `json:"id"`
		ShortDescription     sarifText       `json:"shortDescription"`
		FullDescription      sarifText       `json:"fullDescription"`
		Help                 sarifText       `json:"help"`
		HelpURI              string          `json:"helpUri,omitempty"`
		DefaultConfiguration sarifLevel      `json:"defaultConfiguration"`
		Properties           sarifProperties `json:"properties"`
	}
	sarifLevel struct {
		Level string `json:"level"`
	}
	sarifProperties struct {
		Tags []string `json:"tags"`
		// SecuritySeverity is what GitHub orders alerts by, from 0 to 10.
		SecuritySeverity string `json:"security-severity,omitempty"`
	}
	sarifText struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown,omitempty"`
	}
	sarifInvocation struct {
		ExecutionSuccessful bool                `json:"executionSuccessful"`
		Notifications       []sarifNotification `json:"toolExecutionNotifications,omitempty"`
	}
	sarifNotification struct {
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations,omitempty"`
	}
	sarifResult struct {
		RuleID              string             `json:"ruleId"`
		RuleIndex           int                `json:"ruleIndex"`
		Level               string             `json:"level"`
		Message             sarifText          `json:"message"`
		Locations           []sarifLocation    `json:"locations"`
		RelatedLocations    []sarifLocation    `json:"relatedLocations,omitempty"`
		PartialFingerprints map[string]string  `json:"partialFingerprints"`
		Suppressions        []sarifSuppression `json:"suppressions"`
	}
	sarifSuppression struct {
		Kind          string `json:"kind"`
		Status        string `json:"status"`
		Justification string `json:"justification"`
	}
	sarifLocation struct {
		ID       int            `json:"id,omitempty"`
		Physical sarifPhysical  `json:"physicalLocation"`
		Logical  []sarifLogical `json:"logicalLocations,omitempty"`
		Message  *sarifText     `json:"message,omitempty"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   *sarifRegion  `json:"region,omitempty"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn,omitempty"`
	}
	sarifLogical struct {
		FullyQualifiedName string `json:"fullyQualifiedName"`
		Kind               string `json:"kind"`
	}
)

const (
	sarifSchema = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
	homepage    = "https://github.com/bulkhead-dev/bulkhead"
	// fingerprintKey names how a fingerprint is made: another way needs another name.
	fingerprintKey = "bulkheadFinding/v1"
	// maxRelated bounds the evidence that a result carries.
	maxRelated = 50
)

// WriteSARIF writes the findings in the form of code scanning services. What was
// not evaluated, and notices, are notifications of the run; the evidence for a
// class stands at the finding that it leads to.
func WriteSARIF(w io.Writer, r Report, about About) error {
	s := &sarifWriter{about: about, index: map[string]int{}}
	results := []sarifResult{}
	for i := range r.Workloads {
		results = append(results, s.workload(&r.Workloads[i])...)
	}
	return WriteJSON(w, sarifLog{
		Schema: sarifSchema, Version: "2.1.0",
		Runs: []sarifRun{{
			Tool:        sarifTool{sarifDriver{Name: "bulkhead", InformationURI: homepage, Version: about.Version, Rules: list(s.rules)}},
			Invocations: []sarifInvocation{s.invocation(r)},
			ColumnKind:  "unicodeCodePoints",
			Results:     results,
		}},
	})
}

// sarifWriter collects the rules that results refer to, in order of first use.
type sarifWriter struct {
	about About
	rules []sarifRule
	index map[string]int // into rules, by id
}

func (s *sarifWriter) workload(w *Workload) []sarifResult {
	var out []sarifResult
	nth := map[string]int{}
	for _, f := range w.Findings {
		file := f.File
		if file == "" {
			file = w.File
		}
		key := fingerprint(w, f, file, nth)
		res := sarifResult{
			RuleID: f.Rule, RuleIndex: s.rule(f), Level: sarifLevelOf(f.Severity),
			Message:             sarifText{Text: sarifPlain(fmt.Sprintf("%s/%s: %s. Fix: %s.", w.Kind, w.Name, f.Message, f.Fix))},
			Locations:           []sarifLocation{s.location(file, f.Line, f.Column, logical(w, f.Object, f.Path))},
			PartialFingerprints: map[string]string{fingerprintKey: key},
			Suppressions:        []sarifSuppression{},
		}
		if !f.Counts() {
			// It stands in the repository, and not at the place of the finding.
			res.Suppressions = append(res.Suppressions, sarifSuppression{Kind: "external", Status: "accepted", Justification: "waived " + f.Waiver})
		}
		if f.Object != "" {
			res.relate(s.location(w.File, w.Line, 0, logical(w, "", "")), "the workload")
		}
		if aboutBoundary(f) || f.Rule == "declared-class" {
			s.evidence(&res, w)
		}
		out = append(out, res)
	}
	return out
}

func (res *sarifResult) relate(l sarifLocation, message string) {
	if len(res.RelatedLocations) == maxRelated {
		return
	}
	l.ID = len(res.RelatedLocations) + 1
	l.Message = &sarifText{Text: sarifPlain(message)}
	res.RelatedLocations = append(res.RelatedLocations, l)
}

func (s *sarifWriter) evidence(res *sarifResult, w *Workload) {
	for _, e := range w.Evidence {
		file := e.File
		if file == "" {
			file = w.File
		}
		res.relate(s.location(file, e.Line, e.Column, logical(w, e.Object, e.Path)),
			fmt.Sprintf("%s, by rule %s: %s = %s", shows(e), e.Rule, e.Path, quoted(e.Value)))
	}
}

// rule returns the index of the finding's rule, which it adds at first use.
func (s *sarifWriter) rule(f Finding) int {
	if i, ok := s.index[f.Rule]; ok {
		return i
	}
	i := len(s.rules)
	s.index[f.Rule] = i
	at := slices.IndexFunc(s.about.Rules, func(r rules.Rule) bool { return r.ID == f.Rule })
	if at < 0 { // a caller that names no catalogue
		s.rules = append(s.rules, sarifRule{ID: f.Rule, ShortDescription: sarifText{Text: f.Rule}, FullDescription: sarifText{Text: f.Rule},
			Help: sarifText{Text: f.Fix}, DefaultConfiguration: sarifLevel{sarifLevelOf(f.Severity)}, Properties: sarifProperties{Tags: []string{"security"}}})
		return i
	}
	s.rules = append(s.rules, describe(&s.about.Rules[at]))
	return i
}

func describe(r *rules.Rule) sarifRule {
	text := r.Title + ".\n\nWhy: " + r.Message + ".\n\nFix: " + r.Fix + "."
	var md strings.Builder
	_ = r.WriteMarkdown(&md) // a strings.Builder takes everything
	out := sarifRule{
		ID: r.ID, ShortDescription: sarifText{Text: r.Title}, FullDescription: sarifText{Text: r.Message},
		Help: sarifText{Text: text, Markdown: md.String()}, DefaultConfiguration: sarifLevel{sarifLevelOf(r.Severity)},
		Properties: sarifProperties{Tags: []string{"security", "kubernetes", string(r.Kind)}, SecuritySeverity: securitySeverity(r.Severity)},
	}
	if len(r.References) > 0 {
		out.HelpURI = r.References[0]
	}
	return out
}

func sarifLevelOf(s rules.Severity) string {
	switch s {
	case rules.Error:
		return "error"
	case rules.Warning:
		return "warning"
	}
	return "note"
}

// securitySeverity gives errors, warnings and the rest GitHub's high, medium and low.
func securitySeverity(s rules.Severity) string {
	switch s {
	case rules.Error:
		return "8.0"
	case rules.Warning:
		return "5.0"
	}
	return "2.0"
}

// invocation says what a reader of the results alone would miss.
func (s *sarifWriter) invocation(r Report) sarifInvocation {
	inv := sarifInvocation{ExecutionSuccessful: true}
	for _, n := range r.NotEvaluated {
		inv.Notifications = append(inv.Notifications, sarifNotification{
			Level: "warning", Message: sarifText{Text: sarifPlain(fmt.Sprintf("not evaluated: %s/%s: %s", n.Kind, n.Name, n.Reason))},
			Locations: []sarifLocation{s.location(n.File, n.Line, 0, nil)},
		})
	}
	for _, n := range r.Notices {
		if n.Level == rules.Error {
			inv.ExecutionSuccessful = false
		}
		inv.Notifications = append(inv.Notifications, sarifNotification{
			Level: sarifLevelOf(n.Level), Message: sarifText{Text: sarifPlain(n.Message)},
			Locations: []sarifLocation{s.location(n.File, n.Line, n.Column, nil)},
		})
	}
	return inv
}

func (s *sarifWriter) location(file string, line, column int, logical []sarifLogical) sarifLocation {
	l := sarifLocation{Physical: sarifPhysical{Artifact: sarifArtifact{URI: fileURI(s.about.Root, file)}}, Logical: logical}
	if line > 0 {
		l.Physical.Region = &sarifRegion{StartLine: line, StartColumn: max(column, 0)}
	}
	return l
}

// fileURI is a path as a URI reference with forward slashes: relative where the
// path is relative, or below root.
func fileURI(root, path string) string {
	if root != "" && filepath.IsAbs(path) {
		if rel, err := filepath.Rel(root, path); err == nil && filepath.IsLocal(rel) {
			path = rel
		}
	}
	u := url.URL{Path: filepath.ToSlash(filepath.Clean(path))}
	if filepath.IsAbs(path) {
		u.Scheme = "file"
		if !strings.HasPrefix(u.Path, "/") { // C:/x
			u.Path = "/" + u.Path
		}
	}
	return u.String()
}

func logical(w *Workload, object, path string) []sarifLogical {
	name := w.Kind + "/" + w.Name
	if object != "" {
		name = object
	}
	if w.Namespace != "" {
		name = w.Namespace + "/" + name
	}
	if path != "" {
		name += ":" + path
	}
	return []sarifLogical{{FullyQualifiedName: printable.Text(name), Kind: "resource"}}
}

var listIndex = regexp.MustCompile(`\[\d+\]`)

// fingerprint names a finding by what it is about: rule, file, workload,
// container and field. Lines and places in lists are left out, so that it stays
// the same where something is written above it; of findings that are alike in
// all that, the later ones are counted.
func fingerprint(w *Workload, f Finding, file string, nth map[string]int) string {
	parts := []string{f.Rule, filepath.ToSlash(file), w.Kind, w.Namespace, w.Name, w.Role, f.Object, f.Container, listIndex.ReplaceAllString(f.Path, "[]")}
	key := strings.Join(parts, "\x00")
	n := nth[key]
	nth[key]++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", key, n))
	return hex.EncodeToString(sum[:16])
}

var placeholder = regexp.MustCompile(`\{(\d+)\}`)

// sarifPlain is text that a SARIF viewer shows as it is: no placeholder for an
// argument, no link.
func sarifPlain(s string) string {
	s = placeholder.ReplaceAllString(printable.Text(s), "{{$1}}")
	return strings.ReplaceAll(s, "](", `\](`)
}
