package variables_test

import (
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/bulkhead-dev/bulkhead/internal/variables"
)

func TestBind(t *testing.T) {
	vars, env, err := variables.New(1, 37, cel.Variable("object", cel.DynType))
	if err != nil {
		t.Fatal(err)
	}
	compile := func(expr string) (*cel.Ast, cel.Program) {
		t.Helper()
		ast, issues := env.Compile(expr)
		if issues.Err() != nil {
			t.Fatal(issues.Err())
		}
		prg, err := env.Program(ast)
		if err != nil {
			t.Fatal(err)
		}
		return ast, prg
	}
	names, programs := []string{"names", "unused"}, make([]cel.Program, 2)
	for i, expr := range []string{"object.map(o, o.name)", "object == 1"} {
		var ast *cel.Ast
		ast, programs[i] = compile(expr)
		vars.Declare(names[i], ast.OutputType())
	}
	if _, issues := env.Compile("variables.later"); issues.Err() == nil {
		t.Error("a variable is seen that is not declared")
	}
	if _, issues := env.Compile("variables.names == 1"); issues.Err() == nil {
		t.Error("a list compares with a number: its type is lost")
	}
	_, prg := compile("variables.names.size() == 2 && variables.names[0] == 'a'")
	asked := [2]int{}
	activation := map[string]any{"object": []any{map[string]any{"name": "a"}, map[string]any{"name": "b"}}}
	activation[variables.Name] = vars.Bind(names, func(i int) ref.Val {
		asked[i]++
		out, _, err := programs[i].Eval(activation)
		if err != nil {
			return types.NewErr("%s: %v", names[i], err)
		}
		return out
	})
	if out, _, err := prg.Eval(activation); err != nil || out != types.True {
		t.Errorf("%v, %v, want true", out, err)
	}
	if asked != [2]int{1, 0} {
		t.Errorf("evaluated %v, want names once and nothing else", asked)
	}
}
