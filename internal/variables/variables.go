// Package variables holds the variables of an admission policy as CEL sees them:
// an expression that is compiled sees those that were added before, and each is
// evaluated at most once an object, when it is first asked for.
package variables

import (
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"k8s.io/apimachinery/pkg/util/version"
	apiservercel "k8s.io/apiserver/pkg/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/lazy"
)

// Name is what variables are called in expressions.
const Name = "variables"

// Type is the type of the variables of one policy, as the compiler knows it. It
// is made by New; Declare is for one goroutine, and nothing is compiled meanwhile.
type Type struct{ decl *apiservercel.DeclType }

// New returns a type without variables, and the environment of a version of the
// API server that their expressions are compiled in: with the options, and Name.
func New(major, minor uint, options ...cel.EnvOption) (Type, *cel.Env, error) {
	t := Type{apiservercel.NewObjectType("kubernetes.variables", map[string]*apiservercel.DeclField{})}
	envs, err := environment.MustBaseEnvSet(version.MajorMinor(major, minor)).Extend(environment.VersionedOptions{
		IntroducedVersion: version.MajorMinor(1, 0),
		EnvOptions:        append([]cel.EnvOption{cel.Variable(Name, t.decl.CelType())}, options...),
		DeclTypes:         []*apiservercel.DeclType{t.decl},
	})
	if err != nil {
		return Type{}, nil, fmt.Errorf("making the CEL environment: %w", err)
	}
	return t, envs.NewExpressionsEnv(), nil
}

// Declare adds a variable with the output type of its expression. The fields are
// looked up at each compilation, so that what is compiled next sees it; the API
// server does the same.
func (t Type) Declare(name string, output *cel.Type) {
	t.decl.Fields[name] = apiservercel.NewDeclField(name, declType(output), true, nil, nil)
}

// Bind makes the variables' value for one object. eval evaluates the variable of
// names[i], at most once each.
func (t Type) Bind(names []string, eval func(i int) ref.Val) ref.Val {
	out := lazy.NewMapValue(t.decl)
	for i, name := range names {
		out.Append(name, func(*lazy.MapValue) ref.Val { return eval(i) })
	}
	return out
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
