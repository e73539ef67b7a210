package rules

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"io"
	"sync"

	"github.com/google/cel-go/common/ast"
	"google.golang.org/protobuf/proto"

	"github.com/bulkhead-dev/bulkhead/internal/celwire"
)

// checkedZip holds the built-in expressions as they come out of CEL's checker in
// the environment of the API server: parsing and checking them at each start
// would cost more than evaluating them. An entry's name is checkedName.
//
//go:embed checked.zip
var checkedZip []byte

// checked are the expressions of checkedZip. It is safe for concurrent use.
type checked struct {
	once    sync.Once
	entries map[string]*zip.File
}

// checkedName names an expression of an environment: the rule's or the element's.
func checkedName(env, expr string) string {
	sum := sha256.Sum256([]byte(env + "\x00" + expr))
	return hex.EncodeToString(sum[:12])
}

// find returns the checked form of a built-in expression; false for any other, and
// for each where c is nil.
func (c *checked) find(env, expr string) (*ast.AST, bool) {
	f := c.entry(env, expr)
	if f == nil {
		return nil, false
	}
	found, err := readChecked(f)
	return found, err == nil
}

// has says whether there is a checked form.
func (c *checked) has(env, expr string) bool { return c.entry(env, expr) != nil }

func (c *checked) entry(env, expr string) *zip.File {
	if c == nil {
		return nil
	}
	c.once.Do(func() {
		c.entries = map[string]*zip.File{}
		r, err := zip.NewReader(bytes.NewReader(checkedZip), int64(len(checkedZip)))
		if err != nil {
			return // every expression is compiled, which TestCheckedFormsAreUsed notices
		}
		for _, f := range r.File {
			c.entries[f.Name] = f
		}
	})
	return c.entries[checkedName(env, expr)]
}

func readChecked(f *zip.File) (*ast.AST, error) {
	in, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, err
	}
	return celwire.Read(text)
}

// marshalChecked writes a checked expression without the positions of its
// source, which nobody sees.
func marshalChecked(checked *ast.AST) ([]byte, error) {
	expr, err := ast.ToProto(checked)
	if err != nil {
		return nil, err
	}
	expr.SourceInfo = nil
	return proto.MarshalOptions{Deterministic: true}.Marshal(expr)
}
