package celwire

import (
	"github.com/google/cel-go/common/types"
)

func (r *reader) typ(message []byte) *types.Type {
	out := types.ErrorType
	for number, f := range r.fields(message) {
		switch number {
		case 1:
			out = types.DynType
		case 2:
			out = types.NullType
		case 3:
			out = r.primitive(f)
		case 4:
			out = types.NewNullableType(r.primitive(f))
		case 5:
			out = r.wellKnown(f)
		case 6:
			out = types.NewListType(r.parameter(f.bytes, 1))
		case 7:
			out = types.NewMapType(r.parameter(f.bytes, 1), r.parameter(f.bytes, 2))
		case 9:
			out = types.NewObjectType(f.string())
		case 10:
			out = types.NewTypeParamType(f.string())
		case 11:
			out = types.TypeType
			if len(f.bytes) > 0 {
				out = types.NewTypeTypeWithParam(r.typ(f.bytes))
			}
		case 14:
			out = r.abstract(f.bytes)
		default:
			r.unknown("Type", number)
		}
	}
	return out
}

func (r *reader) primitive(f field) *types.Type {
	known := []*types.Type{1: types.BoolType, types.IntType, types.UintType, types.DoubleType, types.StringType, types.BytesType}
	return r.oneOf(known, f, "PrimitiveType")
}

func (r *reader) wellKnown(f field) *types.Type {
	return r.oneOf([]*types.Type{1: types.AnyType, types.TimestampType, types.DurationType}, f, "WellKnownType")
}

func (r *reader) oneOf(known []*types.Type, f field, what string) *types.Type {
	if f.number == 0 || f.number >= uint64(len(known)) {
		r.unknown(what, 0)
		return types.ErrorType
	}
	return known[f.number]
}

// parameter is the type in a field of a message; what it leaves out is dyn.
func (r *reader) parameter(message []byte, number int32) *types.Type {
	out := types.DynType
	for n, f := range r.fields(message) {
		if int32(n) == number {
			out = r.typ(f.bytes)
		}
	}
	return out
}

func (r *reader) abstract(message []byte) *types.Type {
	name := ""
	var parameters []*types.Type
	for number, f := range r.fields(message) {
		switch number {
		case 1:
			name = f.string()
		case 2:
			parameters = append(parameters, r.typ(f.bytes))
		default:
			r.unknown("AbstractType", number)
		}
	}
	return types.NewOpaqueType(name, parameters...)
}
