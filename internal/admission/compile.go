package admission

import (
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/util/version"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/lazy"
	"k8s.io/apiserver/pkg/cel/library"
)

// The API server whose expressions these are.
const serverMajor, serverMinor = 1, 37

// variablesVar is what variables are called in expressions.
const variablesVar = "variables"

// expressions compiles the expressions of one policy: what is compiled next sees
// the variables from before.
type expressions struct {
	env       *cel.Env
	varType   *apiservercel.DeclType
	variables []variable
}

type variable struct {
	name string
	prg  cel.Program
}

func newExpressions(vars []admissionv1.Variable) (*expressions, error) {
	varType := apiservercel.NewObjectType("kubernetes.variables", map[string]*apiservercel.DeclField{})
	v := version.MajorMinor(serverMajor, serverMinor)
	set, err := environment.MustBaseEnvSet(v).Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions: []cel.EnvOption{
			cel.Variable("object", cel.DynType),
			cel.Variable("oldObject", cel.DynType),
			cel.Variable("request", cel.DynType),
			cel.Variable("namespaceObject", cel.DynType),
			cel.Variable("authorizer", library.AuthorizerType),
			cel.Variable(variablesVar, varType.CelType()),
			library.JSONPatch(),
		},
		DeclTypes: []*apiservercel.DeclType{varType},
	})
	if err != nil {
		return nil, fmt.Errorf("making the CEL environment: %w", err)
	}
	env := set.NewExpressionsEnv()
	if env, err = env.Extend(cel.CustomTypeProvider(patchTypes{env.CELTypeProvider()})); err != nil {
		return nil, fmt.Errorf("making the CEL environment: %w", err)
	}
	e := &expressions{env: env, varType: varType}
	for _, v := range vars {
		ast, prg, err := e.compile(v.Expression)
		if err != nil {
			return nil, fmt.Errorf("variable %s: %w", v.Name, err)
		}
		varType.Fields[v.Name] = apiservercel.NewDeclField(v.Name, declType(ast.OutputType()), true, nil, nil)
		e.variables = append(e.variables, variable{v.Name, prg})
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
	vars := lazy.NewMapValue(e.varType)
	activation := map[string]any{variablesVar: vars}
	for name, value := range request {
		activation[name] = value
	}
	for _, v := range e.variables {
		vars.Append(v.name, func(*lazy.MapValue) ref.Val {
			out, _, err := v.prg.Eval(activation)
			if err != nil {
				return types.NewErr("variable %s: %v", v.name, err)
			}
			return out
		})
	}
	return activation
}

// declType converts the output type of a variable for the type provider.
func declType(t *cel.Type) *apiservercel.DeclType {
	switch t {
	case cel.BoolType:
		return apiservercel.BoolType
	case cel.StringType:
		return apiservercel.StringType
	case cel.IntType:
		return apiservercel.IntType
	}
	if t.HasTrait(traits.ContainerType) && t.HasTrait(traits.IndexerType) {
		switch p := t.Parameters(); len(p) {
		case 1:
			return apiservercel.NewListType(declType(p[0]), -1)
		case 2:
			return apiservercel.NewMapType(declType(p[0]), declType(p[1]), -1)
		}
	}
	return apiservercel.DynType
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
