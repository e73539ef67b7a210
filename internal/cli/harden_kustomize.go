package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/harden"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// overlayFolder refuses folders that cannot be an overlay of the paths.
func (f hardenFlags) overlayFolder(paths []string) error {
	if f.kustomize == "" {
		return nil
	}
	for _, p := range paths {
		if p == "-" {
			return console.UsageError(errors.New("--kustomize cannot be laid over standard input: an overlay names files"), "write it to a file and name that")
		}
		if resolved(p) == resolved(f.kustomize) {
			return console.UsageError(fmt.Errorf("--kustomize %s is what is hardened", f.kustomize), "name a folder of its own, which the next run leaves alone")
		}
	}
	return nil
}

// keptUnit says why what a unit renders to is not changed; "" where it is.
func (f hardenFlags) keptUnit(u manifest.Unit) string {
	switch {
	case u.Form == manifest.Kustomization && f.kustomize != "":
		return ""
	case u.Form == manifest.Kustomization:
		return "it is rendered by the kustomization " + u.Path + ": --kustomize DIR writes an overlay of it"
	}
	return "it is rendered by the chart " + u.Path + ": named alone, with --out-dir DIR, it gets a values file and a post-render patch"
}

// resolved is an absolute path without links, as far as it exists.
func resolved(path string) string {
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	rest := ""
	for dir := abs; ; dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		if dir == filepath.Dir(dir) {
			return abs
		}
	}
}

// layer is one overlay: of a kustomization, or of all plain files together.
type layer struct {
	unit      *manifest.Unit // nil for plain files
	dir       string         // below the folder of the overlays; "." for that itself
	objects   []*manifest.Object
	resources []string // paths
}

// overlay writes overlays of what was read, once kustomize has built them to what
// was meant. On any error nothing is written.
func (h *hardening) overlay(ctx context.Context, f hardenFlags, paths []string) error {
	if err := h.plan(); err != nil {
		return err
	}
	if err := h.judgeEdited(); err != nil {
		return err
	}
	layers, bad := h.layers(f.kustomize, paths)
	switch {
	case bad != nil:
		h.refuse(bad)
		return nil
	case len(layers) == 0:
		return nil
	}
	s := newStage(f.kustomize)
	for _, l := range layers {
		if err := h.stage(ctx, s, l, f.inputs.kube()); err != nil {
			place := filepath.Join(f.kustomize, l.dir)
			h.refuse(&manifest.Error{File: place, Reason: "not written: " + err.Error(), Hint: cmp.Or(fault.Hint(err), "the folder is as it was; `kustomize build` of the sources shows whether they build")})
			return nil
		}
	}
	var refused []*manifest.Error
	h.files, refused = s.publish()
	h.refuse(refused...)
	return nil
}

// judgeEdited judges what was read with the changes that are planned.
func (h *hardening) judgeEdited() error {
	edited := map[origin]*manifest.Object{}
	for _, p := range h.plans {
		o, err := p.Edited()
		if err != nil {
			return err
		}
		if p.Kept == "" {
			edited[originOf(o)] = o
		}
	}
	now := slices.Clone(h.input.objects)
	for i, o := range now {
		if e := edited[originOf(o)]; e != nil {
			now[i] = e
		}
	}
	return h.judge(now)
}

// refuse notes why the overlays were not written.
func (h *hardening) refuse(errs ...*manifest.Error) {
	h.refused = append(h.refused, errs...)
	for i := range h.plans {
		if len(errs) > 0 && h.plans[i].Kept == "" {
			h.plans[i].Kept = "the overlay was not written"
		}
	}
}

// layers puts what was read into overlays, in a folder each where there are several.
func (h *hardening) layers(folder string, paths []string) ([]*layer, *manifest.Error) {
	var out []*layer
	of := map[string]*layer{}
	for _, o := range h.input.objects {
		key, resource := "", o.File
		if o.Unit != nil {
			if h.kept(*o.Unit) != "" {
				continue
			}
			key, resource = o.Unit.Path, o.Unit.Path
		}
		l := of[key]
		if l == nil {
			l = &layer{unit: o.Unit, dir: "."}
			if rel, err := filepath.Rel(rootOf(key, paths), key); key != "" && err == nil {
				l.dir = rel
			}
			of[key], out = l, append(out, l)
		}
		l.objects = append(l.objects, o)
		if !slices.Contains(l.resources, resource) {
			l.resources = append(l.resources, resource)
		}
	}
	if len(out) == 1 {
		out[0].dir = "."
	}
	for i, l := range out {
		if l.unit != nil && within(resolved(l.unit.Path), resolved(folder)) {
			return nil, &manifest.Error{File: folder, Reason: "not written: it is in the kustomization " + l.unit.Path + ", and kustomize takes no base that has the overlay in it", Hint: "name a folder beside it"}
		}
		if slices.ContainsFunc(out[:i], func(o *layer) bool { return o.dir == l.dir }) {
			return nil, &manifest.Error{File: filepath.Join(folder, l.dir), Reason: "not written: two overlays have the same place", Hint: "harden one at a time, or the folder that has both"}
		}
	}
	return out, nil
}

// from returns the resources as seen from a folder.
func (l *layer) from(dir string) ([]string, error) {
	var out []string
	for _, r := range l.resources {
		rel, err := filepath.Rel(dir, resolved(r))
		if err != nil {
			return nil, err
		}
		out = append(out, filepath.ToSlash(rel))
	}
	return out, nil
}

// within reports whether a path is a folder or below it.
func within(folder, path string) bool {
	rel, err := filepath.Rel(folder, path)
	return err == nil && (rel == "." || filepath.IsLocal(rel))
}

// stage writes one overlay and has kustomize build it: it has to come to what was
// meant.
func (h *hardening) stage(ctx context.Context, s *stage, l *layer, k kube) error {
	places := map[origin]bool{}
	for _, o := range l.objects {
		places[originOf(o)] = true
	}
	mine := func(o *manifest.Object) bool { return places[originOf(o)] }
	o := harden.Overlay{
		Plans: slices.DeleteFunc(slices.Clone(h.plans), func(p harden.Plan) bool { return !mine(p.Decision.Workload.Object) }),
		Sets:  slices.DeleteFunc(h.sets(), func(p harden.PolicySet) bool { return !mine(h.input.outcome.Decisions[p.Index].Workload.Object) }),
	}
	if err := h.compare(ctx, s, l, o, k); err != nil {
		return err
	}
	var err error
	if o.Resources, err = l.from(filepath.Join(s.target, l.dir)); err != nil {
		return err
	}
	if l.unit == nil && slices.ContainsFunc(o.Resources, func(r string) bool { return !filepath.IsLocal(r) }) {
		o.Said = strings.Split(strings.TrimSpace(farSaid), "\n")
		h.said = append(h.said, filepath.Join(s.folder, l.dir)+": its files lie outside of it, so `kustomize build` takes them with --load-restrictor LoadRestrictionsNone alone; give their folder a kustomization (kustomize create --autodetect), and it needs none")
	}
	s.files[l.dir], err = o.Files()
	return err
}

// compare holds what kustomize makes of a staged overlay against what was meant:
// what it makes of the resources alone, with the changes, and the policy sets.
func (h *hardening) compare(ctx context.Context, s *stage, l *layer, o harden.Overlay, k kube) error {
	if l.unit == nil {
		k.render = append(slices.Clone(k.render), "--kustomize-any-file")
	}
	alone, err := s.build(ctx, k, l, harden.Overlay{})
	if err != nil {
		return err
	}
	built, err := s.build(ctx, k, l, o)
	if err != nil {
		return err
	}
	changes := map[identity][]manifest.Change{}
	for _, p := range o.Plans {
		if p.Kept == "" {
			for _, c := range p.Changes {
				id := identify(c.Object)
				changes[id] = append(changes[id], c.Change)
			}
		}
	}
	want := map[identity]map[string]any{}
	for _, a := range alone {
		if want[identify(a)], err = manifest.Changed(a, changes[identify(a)]); err != nil {
			return err
		}
	}
	for _, a := range objectsOf(o.Sets) {
		want[identify(a)] = a.Whole().Value
	}
	for _, a := range l.objects {
		if want[identify(a)] == nil {
			return fmt.Errorf("kustomize leaves out %s %s", a.Kind, a.Name)
		}
	}
	for _, b := range built {
		if !harden.Same(want[identify(b)], b.Whole().Value) {
			return fmt.Errorf("kustomize makes something else of %s %s than was meant", b.Kind, b.Name)
		}
		delete(want, identify(b))
	}
	for id := range want {
		return fmt.Errorf("kustomize leaves out %s %s", id.kind, id.name)
	}
	return nil
}

// origin tells the objects of an input apart.
type origin struct {
	file string
	at   manifest.Position
	identity
}

func originOf(o *manifest.Object) origin {
	at, _ := o.Position(nil)
	return origin{o.File, at, identify(o)}
}

// identity is what objects are told apart by.
type identity struct{ version, kind, namespace, name string }

func identify(o *manifest.Object) identity {
	return identity{o.APIVersion, o.Kind, o.Namespace, o.Name}
}

const farSaid = `
The files lie outside of this folder, which kustomize takes only when told to:
  kustomize build --load-restrictor LoadRestrictionsNone .
With a kustomization in their folder (kustomize create --autodetect), hardened
anew, it builds without, and so does kubectl apply -k.`
