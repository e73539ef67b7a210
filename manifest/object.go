// Package manifest reads Kubernetes manifests: bounded, with the position of
// every field, and without letting one broken document hide the others. It
// knows where pod templates sit in each kind of workload; it judges nothing.
package manifest

import (
	"bytes"
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Position is a place in a file; lines and columns count from 1. The zero
// value is "not known".
type Position struct {
	Line, Column int
}

// Error is one thing that could not be read. Line and Column are 0 where the
// whole file is meant.
type Error struct {
	File         string
	Line, Column int
	Reason       string
	Hint         string // the next step
}

// Error returns file:line:column: reason.
func (e *Error) Error() string {
	switch {
	case e.Line == 0:
		return fmt.Sprintf("%s: %s", e.File, e.Reason)
	case e.Column == 0:
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Reason)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Column, e.Reason)
}

// Object is one Kubernetes object as it stands in a file.
type Object struct {
	File string
	// Value is the object as the API server would decode it: aliases and merge
	// keys expanded, nulls dropped. It is read-only, and parts of it are shared
	// with the pods that are made from it. Nil where only the text is kept: see
	// Whole.
	Value map[string]any

	APIVersion, Kind, Namespace, Name string
	// Unit is the chart or kustomization that it was rendered from; nil where it
	// stands in File as it is.
	Unit *Unit

	marks []mark // of the whole document
	root  int32  // that of the object
	text  document
}

// lean keeps of an object its names and its text, if nothing but its own pods is
// ever asked of its kind: of many thousands of workloads only those that are
// being judged have to be whole. The text is plain, so it reads again as it did.
func (o *Object) lean(doc document) *Object {
	if o.root != 0 { // of a List
		return o
	}
	switch o.APIVersion + "/" + o.Kind {
	case "v1/Pod", "batch/v1/Job", "batch/v1/CronJob",
		"apps/v1/Deployment", "apps/v1/StatefulSet", "apps/v1/DaemonSet", "apps/v1/ReplicaSet":
	default:
		return o
	}
	at := o.marks[0]
	at.end = 1
	o.Value, o.marks = nil, []mark{at}
	o.text = document{text: bytes.Clone(doc.text), line: doc.line}
	return o
}

// Whole returns the object with its value and every position.
func (o *Object) Whole() *Object {
	if o.Value != nil {
		return o
	}
	whole := *o
	whole.text = document{}
	whole.Value, whole.marks, _ = readPlain(o.text, &names{}, DefaultLimits())
	return &whole
}

// Group returns the API group; "" is the core group.
func (o *Object) Group() string {
	for i := range len(o.APIVersion) {
		if o.APIVersion[i] == '/' {
			return o.APIVersion[:i]
		}
	}
	return ""
}

// Position returns where the value at path stands; for a list entry or mapping
// value that is the value itself, for a scalar its first character. Where the
// path does not exist, it is the position of its nearest existing parent, and
// false.
func (o *Object) Position(path Path) (Position, bool) {
	if len(path) > 0 {
		o = o.Whole()
	}
	return position(o.marks, o.root, path)
}

const maxMergeDepth = 32

func deref(n *yaml.Node) *yaml.Node {
	for i := 0; n.Kind == yaml.AliasNode && n.Alias != nil && i < maxMergeDepth; i++ {
		n = n.Alias
	}
	return n
}

func isMerge(k *yaml.Node) bool {
	return k.Kind == yaml.ScalarNode && k.Value == "<<" && k.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0
}
