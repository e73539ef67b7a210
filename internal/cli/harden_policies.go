package cli

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"

	"github.com/bulkhead-dev/bulkhead/internal/harden"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// surround makes the policy set of the input, and judges the input with it: a
// workload whose egress is limited may need less of its boundary.
func (h *hardening) surround() (err error) {
	if h.accounts, err = harden.Accounts(h.input.outcome, h.all); err != nil {
		return err
	}
	if h.egress, err = harden.Egress(h.input.outcome, h.all, h.confining); err != nil {
		return err
	}
	h.accounts, h.egress = slices.DeleteFunc(h.accounts, h.elsewhere), slices.DeleteFunc(h.egress, h.elsewhere)
	h.input.outcome, err = h.decide(h.input.objects, objectsOf(h.egress))
	return err
}

// judge judges what the files will be, with the policy set around it. Its comments
// name lines as they will be.
func (h *hardening) judge(now []*manifest.Object) error {
	h.accounts = slices.DeleteFunc(h.accounts, h.unused)
	alone, err := h.decide(now)
	if err != nil {
		return err
	}
	if h.egress, err = harden.Egress(alone, h.all, h.confining); err != nil {
		return err
	}
	if h.rights, err = harden.Rights(alone, h.all); err != nil {
		return err
	}
	h.egress, h.rights = slices.DeleteFunc(h.egress, h.elsewhere), slices.DeleteFunc(h.rights, h.elsewhere)
	h.after, err = h.decide(now, objectsOf(h.accounts), objectsOf(h.egress))
	return err
}

// sets are what is put around the workloads.
func (h *hardening) sets() []harden.PolicySet {
	return slices.Concat(h.accounts, h.rights, h.egress, h.left)
}

// elsewhere reports whether the workload of a set comes out of a unit that stays as
// it is, or has another name next time.
func (h *hardening) elsewhere(set harden.PolicySet) bool {
	return set.Workload.Unit != nil && h.kept(*set.Workload.Unit) != "" || h.renamed != nil && h.renamed(set.Workload)
}

// unused reports whether the account of a set is nobody's, because its workload
// stays as it is.
func (h *hardening) unused(set harden.PolicySet) bool {
	o := h.input.outcome.Decisions[set.Index].Workload.Object
	return slices.ContainsFunc(h.plans, func(p harden.Plan) bool { return p.Decision.Workload.Object == o && p.Kept != "" })
}

// around are the policy sets of a workload, by its place among the decisions.
func (h *hardening) around(index int) []harden.PolicySet {
	return slices.DeleteFunc(h.sets(), func(s harden.PolicySet) bool { return s.Index != index })
}

// add adds a new file beside that of a workload, if it is not there. One of the
// same name with another object is left as it is.
func (h *hardening) add(f harden.File, of string) {
	old, err := os.ReadFile(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		h.files = append(h.files, rewritten{path: f.Path, new: f.Text, of: of})
	case err != nil:
		h.refused = append(h.refused, &manifest.Error{File: f.Path, Reason: "what stands there cannot be read: " + err.Error(), Hint: "move it away, or give --out-dir"})
	case !same(f, old):
		h.refused = append(h.refused, &manifest.Error{File: f.Path, Reason: "it is there already, with another object", Hint: "add it to what is hardened, or move it away"})
	}
}

// same reports whether a text has the object of a file, whatever its comments.
func same(f harden.File, text []byte) bool {
	a, b := read(f.Path, f.Text), read(f.Path, text)
	return len(a) == 1 && len(b) == 1 && reflect.DeepEqual(a[0].Whole().Value, b[0].Whole().Value)
}

func read(name string, text []byte) []*manifest.Object {
	return manifest.Read(name, bytes.NewReader(text), manifest.DefaultLimits()).Objects
}

// objectsOf are the objects of sets as they would be read.
func objectsOf(sets []harden.PolicySet) []*manifest.Object {
	var out []*manifest.Object
	for _, set := range sets {
		for _, f := range set.Files {
			out = append(out, read(f.Path, f.Text)...)
		}
	}
	return out
}

// create writes a new file beside that of a workload, as a whole or not at all. It
// replaces none, and follows no link out of what was named.
func create(path, of string, paths []string, text []byte) error {
	if of == stdinName {
		return errors.New("it would stand beside standard input; --out-dir writes it into a folder")
	}
	dir := rootOf(of, paths)
	rel, err := filepath.Rel(dir, path)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	temp, err := writeBeside(root, rel, text)
	if err != nil {
		return err
	}
	err = root.Link(temp, rel) // fails where something is there by now
	return errors.Join(err, root.Remove(temp))
}
