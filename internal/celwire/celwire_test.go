package celwire

import (
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/ext"
	exprpb "google.golang.org/genproto/googleapis/api/expr/v1alpha1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

// written checks an expression and writes it as package protobuf does.
func written(t testing.TB, text string) []byte {
	t.Helper()
	env, err := cel.NewEnv(cel.OptionalTypes(), ext.TwoVarComprehensions(), cel.Types(&structpb.Value{}), cel.Variable("o", cel.DynType),
		cel.Variable("n", cel.NullableType(cel.IntType)), cel.Variable("a", cel.AnyType), cel.Variable("opt", cel.OptionalType(cel.StringType)))
	if err != nil {
		t.Fatal(err)
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		t.Fatal(issues.Err())
	}
	expr, err := cel.AstToCheckedExpr(checked)
	if err != nil {
		t.Fatal(err)
	}
	expr.SourceInfo = nil
	out, err := proto.Marshal(expr)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRead: what is read is what package protobuf reads.
func TestRead(t *testing.T) {
	for _, text := range []string{
		`true`, `null`, `-7`, `7u`, `1.5`, `'ü'`, `b'\xff'`, `int`, `type(int) == type`, `[]`, `{}`, `[1, ?opt, 'b']`, `{'a': 1, ?'b': opt}`,
		`o.a.b`, `has(o.a)`, `o.?a[?0].orValue('x')`, `o['a'] in [1, 2] && !(o.b > 1 || o.c <= 2.0)`, `size(o) == o.size()`,
		`o.list.exists(x, x.matches('^a+$'))`, `o.list.map(x, x > 1, x * 2).all(y, y != 3)`, `{'a': 1}.exists(k, v, v > 1 && k != '')`,
		`n == null ? 1 : 2`, `a == null`, `opt.hasValue()`, `google.protobuf.Value{number_value: 1.0}`, `google.protobuf.Value{?string_value: opt}`,
		`timestamp('2026-01-01T00:00:00Z') + duration('1h')`, `[[1], [2]][0][0]`, `{1: {'a': [true]}}[1].a[0]`, `type([1])`,
	} {
		checked := written(t, text)
		var want exprpb.CheckedExpr
		if err := proto.Unmarshal(checked, &want); err != nil {
			t.Fatal(err)
		}
		read, err := Read(checked)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := ast.ToProto(read)
		if err != nil {
			t.Fatal(err)
		}
		got.SourceInfo = nil
		if !proto.Equal(got, &want) {
			t.Errorf("%s is\n%v\nand not\n%v", text, got, &want)
		}
	}
}

// FuzzRead: no text makes it panic. What it takes can be written again.
func FuzzRead(f *testing.F) {
	f.Add(written(f, `o.?a[?0].orValue('x')`))
	f.Add(written(f, `{1: [2u, 1.5, b'x']}.exists(k, v, k in v && has(o.a) || type(n) == int)`))
	f.Fuzz(func(t *testing.T, text []byte) {
		read, err := Read(text)
		if err == nil && read.Expr() == nil {
			t.Error("neither an expression nor an error")
		}
	})
}
