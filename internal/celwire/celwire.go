// Package celwire reads checked CEL expressions in the wire form of
// google.api.expr.v1alpha1.CheckedExpr (github.com/google/cel-spec). Package
// protobuf reads them too, but first looks into some 20 types of messages, which
// takes longer than a hundred expressions.
package celwire

import (
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"google.golang.org/protobuf/encoding/protowire"
)

// Read reads one expression that CEL's own checker made: what it says of types is
// believed, and its depth is not bounded. Where in its source something stood is
// left out. What Read does not know is an error.
func Read(text []byte) (*ast.AST, error) {
	r := &reader{make: ast.NewExprFactory()}
	refs, kinds := map[int64]*ast.ReferenceInfo{}, map[int64]*types.Type{}
	var expr ast.Expr
	for number, f := range r.fields(text) {
		switch number {
		case 2:
			id, value := r.entry(f.bytes)
			refs[id] = r.reference(value)
		case 3:
			id, value := r.entry(f.bytes)
			kinds[id] = r.typ(value)
		case 4:
			expr = r.expr(f.bytes)
		default:
			r.unknown("CheckedExpr", number)
		}
	}
	if expr == nil {
		r.fail(errors.New("there is no expression"))
	}
	if r.err != nil {
		return nil, fmt.Errorf("reading a checked expression: %w", r.err)
	}
	return ast.NewCheckedAST(ast.NewAST(expr, ast.NewSourceInfo(nil)), kinds, refs), nil
}

// reader keeps the first error. After it, what it returns has no meaning.
type reader struct {
	make ast.ExprFactory
	err  error
}

func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

func (r *reader) unknown(message string, number protowire.Number) {
	r.fail(fmt.Errorf("%s has an unknown field %d", message, number))
}

// field is the value of a field, by its wire type.
type field struct {
	number uint64
	bytes  []byte
}

func (f field) int() int64     { return int64(f.number) } //nolint:gosec // how the wire form writes one
func (f field) bool() bool     { return f.number != 0 }
func (f field) string() string { return string(f.bytes) }

// fields are those of a message, in their order.
func (r *reader) fields(message []byte) iter.Seq2[protowire.Number, field] {
	return func(yield func(protowire.Number, field) bool) {
		for len(message) > 0 && r.err == nil {
			number, kind, n := protowire.ConsumeTag(message)
			if n < 0 {
				r.fail(protowire.ParseError(n))
				return
			}
			message = message[n:]
			var f field
			switch kind {
			case protowire.VarintType:
				f.number, n = protowire.ConsumeVarint(message)
			case protowire.Fixed64Type:
				f.number, n = protowire.ConsumeFixed64(message)
			case protowire.BytesType:
				f.bytes, n = protowire.ConsumeBytes(message)
			default:
				r.fail(fmt.Errorf("field %d has wire type %d", number, kind))
				return
			}
			if n < 0 {
				r.fail(protowire.ParseError(n))
				return
			}
			message = message[n:]
			if !yield(number, f) {
				return
			}
		}
	}
}

// entry is one of a map from ids.
func (r *reader) entry(message []byte) (id int64, value []byte) {
	for number, f := range r.fields(message) {
		switch number {
		case 1:
			id = f.int()
		case 2:
			value = f.bytes
		default:
			r.unknown("a map's entry", number)
		}
	}
	return id, value
}

func (r *reader) reference(message []byte) *ast.ReferenceInfo {
	out := &ast.ReferenceInfo{}
	for number, f := range r.fields(message) {
		switch number {
		case 1:
			out.Name = f.string()
		case 3:
			out.OverloadIDs = append(out.OverloadIDs, f.string())
		case 4:
			out.Value = r.constant(f.bytes)
		default:
			r.unknown("Reference", number)
		}
	}
	return out
}

func (r *reader) constant(message []byte) ref.Val {
	var out ref.Val
	for number, f := range r.fields(message) {
		switch number {
		case 1:
			out = types.NullValue
		case 2:
			out = types.Bool(f.bool())
		case 3:
			out = types.Int(f.int())
		case 4:
			out = types.Uint(f.number)
		case 5:
			out = types.Double(math.Float64frombits(f.number))
		case 6:
			out = types.String(f.string())
		case 7:
			out = types.Bytes(f.bytes)
		default:
			r.unknown("Constant", number)
		}
	}
	return out
}
