package manifest

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Reader reads the inputs of a command line. The zero value is of no use: Limits
// are needed.
type Reader struct {
	Limits Limits
	Stdin  io.Reader
	// Render makes manifests of a chart or kustomization. nil takes the files of
	// such a folder as they stand.
	Render func(ctx context.Context, unit Unit) Batch
	// Skip is a folder that is not walked into; "" for none.
	Skip string
	// Progress is told how many of how many files were read; from one goroutine
	// at a time. nil is told nothing.
	Progress func(done, all int)
}

// Form says what a unit is.
type Form string

const (
	Chart         Form = "chart"         // a folder with Chart.yaml, or a packed one
	Kustomization Form = "kustomization" // a folder with kustomization.yaml
)

// Unit is a folder or file that makes manifests only when it is rendered.
type Unit struct {
	Form Form
	Path string
}

// Set is everything that was read from the named inputs, in the order of their
// names, however many were read at once.
type Set struct {
	Objects []*Object
	Other   []*Object // mappings without apiVersion and kind, from files named one by one
	Errors  []*Error
	Files   int
	// Units are the charts and kustomizations that objects came from. Lines of their
	// objects count in what was rendered.
	Units []Unit
}

// ReadAll reads files, folders (recursively: .yaml, .yml and .json) and "-" for
// stdin, as many at once as there are processors. What cannot be read becomes an
// error; the rest is still read.
func (r Reader) ReadAll(ctx context.Context, paths []string) Set {
	w := &walker{render: r.Render != nil, real: map[string]string{}}
	if r.Skip != "" {
		w.skip = resolve(r.Skip)
	}
	for _, path := range paths {
		w.named(path)
	}
	batches := make([]Batch, len(w.sources))
	var (
		mu    sync.Mutex
		done  int
		large sync.Mutex
		wait  sync.WaitGroup
		next  = make(chan int)
	)
	if r.Progress != nil {
		r.Progress(0, len(w.sources))
	}
	for range min(runtime.GOMAXPROCS(0), len(w.sources)) {
		wait.Go(func() {
			for i := range next {
				batches[i] = r.read(ctx, w.sources[i], &large)
				mu.Lock()
				if done++; r.Progress != nil {
					r.Progress(done, len(w.sources))
				}
				mu.Unlock()
			}
		})
	}
	for i := range w.sources {
		next <- i
	}
	close(next)
	wait.Wait()
	return gather(w.sources, batches)
}

// gather puts together what was read, in the order of the sources.
func gather(sources []source, batches []Batch) Set {
	var s Set
	for i, b := range batches {
		if sources[i].bad == nil {
			s.Files++
		}
		if sources[i].form != "" && len(b.Objects) > 0 {
			unit := Unit{sources[i].form, sources[i].path}
			s.Units = append(s.Units, unit)
			for _, o := range b.Objects {
				o.Unit = &unit
			}
		}
		s.Objects = append(s.Objects, b.Objects...)
		s.Errors = append(s.Errors, b.Errors...)
		if sources[i].named {
			s.Other = append(s.Other, b.Other...)
		}
	}
	return s
}

// source is one thing to read, or one that cannot be (bad).
type source struct {
	path  string
	form  Form // "" for a file of manifests
	stdin bool
	named bool // on the command line, not found in a folder
	bad   *Error
}

func (r Reader) read(ctx context.Context, s source, large *sync.Mutex) Batch {
	switch {
	case s.bad != nil:
		return Batch{Errors: []*Error{s.bad}}
	case ctx.Err() != nil:
		return Batch{Errors: []*Error{{File: s.path, Reason: "not read: " + context.Cause(ctx).Error(), Hint: "run it again"}}}
	case s.stdin:
		return read("<stdin>", r.Stdin, r.Limits, large)
	case s.form != "":
		return r.Render(ctx, Unit{s.form, s.path})
	}
	open := openRegular
	if s.named { // by process substitution it may be a pipe
		open = os.Open
	}
	f, err := open(s.path)
	if err != nil {
		return Batch{Errors: []*Error{fileError(s.path, err)}}
	}
	defer f.Close()
	return read(s.path, f, r.Limits, large)
}

var errNotRegular = errors.New("not a regular file")

// openRegular opens a file without waiting for the writer of a FIFO.
func openRegular(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() && info.Mode()&fs.ModeCharDevice == 0 {
		err = &fs.PathError{Op: "read", Path: path, Err: errNotRegular}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// walker finds the sources.
type walker struct {
	sources []source
	render  bool
	stdin   bool
	skip    string            // resolved; "" for none
	real    map[string]string // resolved folder -> name by which it was walked
}

func (w *walker) fail(path, reason, hint string) {
	w.sources = append(w.sources, source{path: path, bad: &Error{File: path, Reason: reason, Hint: hint}})
}

func (w *walker) failed(path string, err error) {
	w.sources = append(w.sources, source{path: path, bad: fileError(path, err)})
}

// named adds a path of the command line.
func (w *walker) named(path string) {
	if path == "-" {
		if w.stdin {
			return // it was named before, and can be read once
		}
		w.stdin = true
		w.sources = append(w.sources, source{path: path, stdin: true, named: true})
		return
	}
	if path == "" {
		w.fail(`""`, "an empty path", "name a file or folder; is a variable of the shell empty?")
		return
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		w.failed(path, err)
	case info.IsDir():
		w.folder(path)
	case w.render && strings.HasSuffix(path, ".tgz"):
		w.sources = append(w.sources, source{path: path, form: Chart, named: true})
	default:
		w.sources = append(w.sources, source{path: path, named: true})
	}
}

// folder walks root. Symbolic links to files are followed; a link to a folder
// is walked once, under the name by which it was met first, so that a loop ends.
func (w *walker) folder(root string) {
	before := len(w.sources)
	w.real = map[string]string{}
	w.dir(root)
	if len(w.sources) == before { // a mistyped folder must not pass for a clean one
		w.fail(root, "no manifests in this folder (.yaml, .yml, .json)", "name the folder that has them")
		return
	}
	if w.render {
		w.sources = append(w.sources[:before], withoutBases(w.sources[before:])...)
	}
}

func (w *walker) dir(path string) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		w.failed(path, err)
		return
	}
	if abs, err := filepath.Abs(resolved); err == nil {
		resolved = abs
	}
	if resolved == w.skip {
		return
	}
	if first, ok := w.real[resolved]; ok {
		if strings.HasPrefix(path, first+string(filepath.Separator)) || path == first {
			w.fail(path, "symbolic link loop: it leads back to "+first, "remove the link, or name the folders that you mean")
		}
		return
	}
	w.real[resolved] = path
	entries, err := os.ReadDir(path)
	if err != nil {
		w.failed(path, err)
	}
	if w.render {
		if form := formOf(path, entries); form != "" {
			w.sources = append(w.sources, source{path: path, form: form})
			return
		}
	}
	for _, e := range entries {
		w.entry(filepath.Join(path, e.Name()), e)
	}
}

// resolve returns a path without links, as far as it exists.
func resolve(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		return resolved
	}
	return path
}

func (w *walker) entry(path string, e fs.DirEntry) {
	isDir := e.IsDir()
	if e.Type()&fs.ModeSymlink != 0 {
		info, err := os.Stat(path)
		if err != nil {
			if manifestName(path) || errors.Is(err, syscall.ELOOP) {
				w.failed(path, err)
			}
			return
		}
		isDir = info.IsDir()
	}
	switch {
	case isDir && e.Name() == ".git":
	case isDir:
		w.dir(path)
	case manifestName(path):
		w.sources = append(w.sources, source{path: path})
	}
}

func manifestName(path string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, strings.ToLower(filepath.Ext(path)))
}

func fileError(path string, err error) *Error {
	e := &Error{File: path, Reason: err.Error(), Hint: "check the path"}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		e.Reason = pe.Err.Error()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.Reason, e.Hint = "no such file or folder", "check the path"
	case errors.Is(err, fs.ErrPermission):
		e.Reason, e.Hint = "permission denied", "make it readable for this user"
	case errors.Is(err, syscall.ELOOP):
		e.Reason, e.Hint = "symbolic link loop", "remove the link"
	case errors.Is(err, errNotRegular):
		e.Reason, e.Hint = "not a regular file", "pipe it in instead: bulkhead check -"
	}
	return e
}

// ReadFile returns the text of a regular file whose manifests were read before.
func ReadFile(path string) ([]byte, *Error) {
	f, err := openRegular(path)
	if err != nil {
		return nil, fileError(path, err)
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, fileError(path, err)
	}
	return text, nil
}
