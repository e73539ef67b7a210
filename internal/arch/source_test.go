package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// maxLines is how long a Go file may be before it is two files.
const maxLines = 400

func TestEachPackageHasOneDoc(t *testing.T) {
	for _, p := range packages(t) {
		var docs []string
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(p.Dir, name), nil, parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc != nil {
				docs = append(docs, name)
			}
		}
		if len(docs) != 1 {
			t.Errorf("%s has %d package comments %v, want one", p.ImportPath, len(docs), docs)
		}
	}
}

func TestNoPackageIsAGrabBag(t *testing.T) {
	for _, p := range packages(t) {
		switch name := filepath.Base(p.ImportPath); name {
		case "util", "utils", "common", "helpers", "misc", "types", "base":
			t.Errorf("%s: %q says nothing about what is inside", p.ImportPath, name)
		}
	}
}

func TestMainIsShort(t *testing.T) {
	for _, p := range packages(t) {
		if !strings.HasPrefix(p.ImportPath, "./cmd/") {
			continue
		}
		for _, name := range p.GoFiles {
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				f, ok := d.(*ast.FuncDecl)
				if ok && set.Position(f.End()).Line-set.Position(f.Pos()).Line > 20 {
					t.Errorf("%s/%s: func %s is longer than 20 lines: what does not fit cannot be tested", p.ImportPath, name, f.Name)
				}
			}
		}
	}
}

func TestFilesAreReadInOneSitting(t *testing.T) {
	generated := regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)
	for _, p := range packages(t) {
		for _, name := range append(p.GoFiles, p.TestGoFiles...) {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if generated.Match(text) {
				continue // nobody reads it
			}
			if lines := strings.Count(string(text), "\n"); lines > maxLines {
				t.Errorf("%s/%s has %d lines; over %d it is two ideas", p.ImportPath, name, lines, maxLines)
			}
		}
	}
}
