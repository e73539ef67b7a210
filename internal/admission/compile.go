package admission

import (
	"fmt"
	"maps"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apiserver/pkg/cel/library"

	"github.com/bulkhead-dev/bulkhead/internal/variables"
)

// The API server whose expressions these are.
const serverMajor, serverMinor = 1, 37

// expressions compiles the expressions of one policy: what is compiled next sees
// the variables from before.
type expressions struct {
	env       *cel.Env
	varType   variables.Type
	names     []string      // of the variables
	variables []cel.Program // in the order of the names
}

func newExpressions(list []admissionv1.Variable) (*expressions, error) {
	vars, env, err := variables.New(serverMajor, serverMinor,
		cel.Variable("object", cel.DynType),
		cel.Variable("oldObject", cel.DynType),
		cel.Variable("request", cel.DynType),
		cel.Variable("namespaceObject", cel.DynType),
		cel.Variable("authorizer", library.AuthorizerType),
		library.JSONPatch(),
	)
	if err != nil {
		return nil, err
	}
	if env, err = env.Extend(cel.CustomTypeProvider(patchTypes{env.CELTypeProvider()})); err != nil {
		return nil, fmt.Errorf("making the CEL environment: %w", err)
	}
	e := &expressions{env: env, varType: vars}
	for _, v := range list {
		ast, prg, err := e.compile(v.Expression)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", v.Name, err)
		}
		vars.Declare(v.Name, ast.OutputType())
		e.names, e.variables = append(e.names, v.Name), append(e.variables, prg)
	}
	return e, nil
}

func (e *expressions) compile(expr string) (*cel.Ast, cel.Program, error) {
	ast, issues := e.env.Compile(expr)
	if issues.Err() != nil {
		return nil, nil, issues.Err()
	}
	prg, err := e.env.Program(ast)
	return ast, prg, err
}

// bind makes what expressions see of a request: a variable is evaluated at most
// once, when it is first asked for.
func (e *expressions) bind(request map[string]any) map[string]any {
	activation := maps.Clone(request)
	activation[variables.Name] = e.varType.Bind(e.names, func(i int) ref.Val {
		out, _, err := e.variables[i].Eval(activation)
		if err != nil {
			return types.NewErr("variable %s: %v", e.names[i], err)
		}
		return out
	})
	return activation
}

// patchType is the type of one operation of a JSON patch. The API server's own
// package for it comes with all of OpenAPI.
const patchType = "JSONPatch"

// patchTypes are the types of expressions, with patchType. A value of it is a
// map of its fields.
type patchTypes struct{ types.Provider }

func (p patchTypes) FindStructType(name string) (*types.Type, bool) {
	if name == patchType {
		return types.NewTypeTypeWithParam(types.NewObjectType(patchType)), true
	}
	return p.Provider.FindStructType(name)
}

func (p patchTypes) FindStructFieldNames(name string) ([]string, bool) {
	if name == patchType {
		return []string{"op", "path", "from", "value"}, true
	}
	return p.Provider.FindStructFieldNames(name)
}

func (p patchTypes) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	if name != patchType {
		return p.Provider.FindStructFieldType(name, field)
	}
	switch field {
	case "op", "path", "from":
		return &types.FieldType{Type: types.StringType}, true
	case "value":
		return &types.FieldType{Type: types.DynType}, true
	}
	return nil, false
}

func (p patchTypes) NewValue(name string, fields map[string]ref.Val) ref.Val {
	if name != patchType {
		return p.Provider.NewValue(name, fields)
	}
	entries := make(map[ref.Val]ref.Val, len(fields))
	for field, value := range fields {
		entries[types.String(field)] = value
	}
	return types.NewRefValMap(types.DefaultTypeAdapter, entries)
}
