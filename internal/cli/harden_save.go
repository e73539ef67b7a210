package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// save writes the files that change: in their places, or into a folder. What
// cannot be written is refused, and stays as it was.
func (h *hardening) save(paths []string, outDir string) {
	exported := map[string]bool{}
	for i := range h.files {
		f := &h.files[i]
		var err error
		switch {
		case outDir == "" && f.of != "":
			f.written, err = f.path, create(f.path, f.of, paths, f.new)
		case outDir == "":
			f.written, err = f.path, replace(f.path, paths, f.old, f.new)
		default:
			f.written, err = export(f.path, paths, outDir, f.new, exported)
		}
		if err != nil {
			f.written = ""
			reason, hint := unwritten(err)
			h.refused = append(h.refused, &manifest.Error{File: f.path, Reason: "not written: " + reason, Hint: hint})
		}
	}
}

var (
	errOutside = errors.New("it is a symbolic link, or below one, that leads out of what was named")
	errLink    = errors.New("it is a symbolic link")
	errTwice   = errors.New("another file has the same place in the folder")
	errChanged = errors.New("the file changed while it was read")
)

// unwritten says why a file was not written, and what to do.
func unwritten(err error) (reason, hint string) {
	reason, hint = err.Error(), "the file is as it was; --out-dir writes elsewhere"
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		reason = pe.Err.Error()
	}
	switch {
	case errors.Is(err, errOutside), errors.Is(err, errLink):
		hint = "name the file that it leads to"
	case errors.Is(err, errTwice):
		hint = "harden the folder that has both, or one at a time"
	case errors.Is(err, errChanged):
		hint = "run it again when nothing else writes the file"
	}
	return reason, hint
}

// rootOf returns the folder that a file may be written in: the one of the command
// line that it was found in, or its own.
func rootOf(path string, paths []string) string {
	for _, p := range paths {
		if isFolder(p) && strings.HasPrefix(path, filepath.Clean(p)+string(filepath.Separator)) || p == "." {
			return p
		}
	}
	return filepath.Dir(path)
}

// replace puts new in the place of old, as a whole or not at all: a temporary file
// beside it, with its mode and owner, takes its name.
func replace(path string, paths []string, old, text []byte) (err error) {
	if path == stdinName {
		return errors.New("it is standard input; without --write there is a diff")
	}
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return errLink
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	root, err := filepath.EvalSymlinks(rootOf(path, paths))
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(root, real); err != nil || !filepath.IsLocal(rel) {
		return errOutside
	}
	f, err := os.OpenFile(real, os.O_RDWR, 0) // not written: whether one may is asked
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return err
	}
	if err := unchanged(f, old); err != nil {
		return err
	}
	temp, err := prepare(filepath.Dir(real), info, text)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(temp)
		}
	}()
	// Whoever wrote meanwhile must not lose it.
	now, err := os.Lstat(real)
	if err != nil {
		return err
	}
	if !os.SameFile(now, info) || !now.ModTime().Equal(info.ModTime()) || now.Size() != info.Size() {
		return errChanged
	}
	if err := os.Rename(temp, real); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(real))
}

func unchanged(f *os.File, old []byte) error {
	now, err := io.ReadAll(io.LimitReader(f, int64(len(old))+1))
	if err != nil {
		return err
	}
	if !bytes.Equal(now, old) {
		return errChanged
	}
	return nil
}

// prepare writes a temporary file with the mode and owner of another one, and
// returns its name.
func prepare(dir string, like fs.FileInfo, text []byte) (name string, err error) {
	f, err := os.CreateTemp(dir, ".bulkhead-*")
	if err != nil {
		return "", err
	}
	defer func() {
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	if err := f.Chmod(like.Mode().Perm()); err != nil {
		return "", err
	}
	if err := sameOwner(f, like); err != nil {
		return "", fmt.Errorf("keeping its owner: %w", err)
	}
	if _, err := f.Write(text); err != nil {
		return "", err
	}
	return f.Name(), f.Sync()
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	_ = d.Sync() // not every file system can; the file itself is safe
	return nil
}

// export writes a file into outDir, at its place below what was named. exported are
// the places that this call has written to.
func export(path string, paths []string, outDir string, text []byte, exported map[string]bool) (string, error) {
	rel, err := filepath.Rel(rootOf(path, paths), path)
	if path == stdinName {
		rel = "stdin.yaml"
	} else if err != nil {
		return "", err
	}
	if exported[rel] {
		return "", errTwice
	}
	if err := os.MkdirAll(outDir, 0o755); err != nil {
		return "", err
	}
	root, err := os.OpenRoot(outDir) // no link leads out of it
	if err != nil {
		return "", err
	}
	defer func() { _ = root.Close() }()
	if err := put(root, rel, text); err != nil {
		return "", err
	}
	exported[rel] = true
	return filepath.Join(outDir, rel), nil
}

// put writes a file, and the folders that it is in, as a whole or not at all.
func put(root *os.Root, rel string, text []byte) error {
	if err := root.MkdirAll(filepath.Dir(rel), 0o755); err != nil {
		return err
	}
	temp, err := writeBeside(root, rel, text)
	if err != nil {
		return err
	}
	if err = root.Rename(temp, rel); err != nil {
		_ = root.Remove(temp)
	}
	return err
}

// writeBeside writes a text beside the file that it is for, and returns where.
func writeBeside(root *os.Root, rel string, text []byte) (temp string, err error) {
	temp = rel + ".bulkhead-new"
	_ = root.Remove(temp)
	mode := fs.FileMode(0o644)
	if bytes.HasPrefix(text, []byte("#!")) {
		mode = 0o755
	}
	f, err := root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = root.Remove(temp)
		return "", err
	}
	return temp, nil
}
