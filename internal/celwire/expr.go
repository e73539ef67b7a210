package celwire

import (
	"github.com/google/cel-go/common/ast"
	"google.golang.org/protobuf/encoding/protowire"
)

func (r *reader) expr(message []byte) ast.Expr {
	var id int64
	var kind protowire.Number
	var body []byte
	for number, f := range r.fields(message) {
		if number == 2 {
			id = f.int()
		} else {
			kind, body = number, f.bytes
		}
	}
	switch kind {
	case 3:
		return r.make.NewLiteral(id, r.constant(body))
	case 4:
		return r.make.NewIdent(id, r.ident(body))
	case 5:
		return r.selects(id, body)
	case 6:
		return r.call(id, body)
	case 7:
		return r.list(id, body)
	case 8:
		return r.object(id, body)
	case 9:
		return r.comprehension(id, body)
	}
	r.unknown("Expr", kind)
	return r.make.NewUnspecifiedExpr(id)
}

func (r *reader) ident(message []byte) (name string) {
	for number, f := range r.fields(message) {
		if number != 1 {
			r.unknown("Ident", number)
		}
		name = f.string()
	}
	return name
}

func (r *reader) selects(id int64, message []byte) ast.Expr {
	var operand ast.Expr
	var name string
	var test bool
	for number, f := range r.fields(message) {
		switch number {
		case 1:
			operand = r.expr(f.bytes)
		case 2:
			name = f.string()
		case 3:
			test = f.bool()
		default:
			r.unknown("Select", number)
		}
	}
	if test {
		return r.make.NewPresenceTest(id, operand, name)
	}
	return r.make.NewSelect(id, operand, name)
}

func (r *reader) call(id int64, message []byte) ast.Expr {
	var target ast.Expr
	var function string
	args := []ast.Expr{}
	for number, f := range r.fields(message) {
		switch number {
		case 1:
			target = r.expr(f.bytes)
		case 2:
			function = f.string()
		case 3:
			args = append(args, r.expr(f.bytes))
		default:
			r.unknown("Call", number)
		}
	}
	if target != nil {
		return r.make.NewMemberCall(id, function, target, args...)
	}
	return r.make.NewCall(id, function, args...)
}

func (r *reader) list(id int64, message []byte) ast.Expr {
	elements, optional := []ast.Expr{}, []int32{}
	for number, f := range r.fields(message) {
		switch number {
		case 1:
			elements = append(elements, r.expr(f.bytes))
		case 2:
			optional = append(optional, r.packed(f)...)
		default:
			r.unknown("CreateList", number)
		}
	}
	return r.make.NewList(id, elements, optional)
}

// packed reads numbers that stand together.
func (r *reader) packed(f field) (out []int32) {
	for rest := f.bytes; len(rest) > 0; {
		v, n := protowire.ConsumeVarint(rest)
		if n < 0 {
			r.fail(protowire.ParseError(n))
			return nil
		}
		out, rest = append(out, int32(v)), rest[n:] //nolint:gosec // how the wire form writes one
	}
	return out
}

// object is a map or, where it has the name of a type, a message.
func (r *reader) object(id int64, message []byte) ast.Expr {
	name := ""
	entries := []ast.EntryExpr{}
	for number, f := range r.fields(message) {
		switch number {
		case 1:
			name = f.string()
		case 2:
			entries = append(entries, r.objectEntry(f.bytes))
		default:
			r.unknown("CreateStruct", number)
		}
	}
	if name != "" {
		return r.make.NewStruct(id, name, entries)
	}
	return r.make.NewMap(id, entries)
}

func (r *reader) objectEntry(message []byte) ast.EntryExpr {
	var id int64
	var name string
	var key, value ast.Expr
	var optional bool
	for number, f := range r.fields(message) {
		switch number {
		case 1:
			id = f.int()
		case 2:
			name = f.string()
		case 3:
			key = r.expr(f.bytes)
		case 4:
			value = r.expr(f.bytes)
		case 5:
			optional = f.bool()
		default:
			r.unknown("Entry", number)
		}
	}
	if key != nil {
		return r.make.NewMapEntry(id, key, value, optional)
	}
	return r.make.NewStructField(id, name, value, optional)
}

func (r *reader) comprehension(id int64, message []byte) ast.Expr {
	var names [9]string
	var parts [9]ast.Expr
	for number, f := range r.fields(message) {
		switch number {
		case 1, 3, 8:
			names[number] = f.string()
		case 2, 4, 5, 6, 7:
			parts[number] = r.expr(f.bytes)
		default:
			r.unknown("Comprehension", number)
		}
	}
	return r.make.NewComprehensionTwoVar(id, parts[2], names[1], names[8], names[3], parts[4], parts[5], parts[6], parts[7])
}
