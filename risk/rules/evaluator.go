package rules

import (
	"fmt"
	"regexp"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"github.com/bulkhead-dev/bulkhead/internal/variables"
)

// The names that expressions see, as in a ValidatingAdmissionPolicy.
const (
	objectVar    = "object"
	containerVar = "c"
	valueVar     = "v"
)

// minVersion is the oldest API server that must accept the expressions.
const minVersionMajor, minVersionMinor = 1, 32

// Evaluator evaluates a catalogue's rules of scope pod. Expressions are compiled
// when they are first needed. It is safe for concurrent use.
type Evaluator struct {
	catalogue *Catalogue
	env       *cel.Env // object and variables
	elements  *cel.Env // also c and v
	varType   variables.Type
	names     []string     // of the variables
	variables []*variable  // in the order of the names
	declared  func() error // sees to it that the variables' types are known

	positions map[*Rule]int // of the catalogue's rules
	guards    guards
	memo      *memo
	whole     ruleSet  // rules that see more of a pod than its spec
	checked   *checked // nil: every expression is compiled here
	patterns  sync.Map // *regexp.Regexp by its text

	mu       sync.Mutex
	programs map[string]*program // by expression; elements have their own key
}

// variable is one that expressions share. Its program is made when it is first
// evaluated: most pods need few of them.
type variable struct {
	Variable
	program func() (cel.Program, error)
}

type program struct {
	once sync.Once
	prg  cel.Program
	err  error
}

// NewEvaluator makes the evaluator of a catalogue. A variable that does not compile
// in the API server's environment is an error.
func NewEvaluator(c *Catalogue) (*Evaluator, error) { return newEvaluator(c, &checked{}) }

func newEvaluator(c *Catalogue, known *checked) (*Evaluator, error) {
	vars, env, err := variables.New(minVersionMajor, minVersionMinor, cel.Variable(objectVar, cel.DynType))
	if err != nil {
		return nil, err
	}
	e := &Evaluator{
		catalogue: c, env: env, varType: vars,
		positions: make(map[*Rule]int, len(c.Rules)), memo: newMemo(len(c.Rules)), whole: c.seeWhole(), checked: known, programs: map[string]*program{},
	}
	for i := range c.Rules {
		e.positions[&c.Rules[i]] = i
	}
	e.declared = sync.OnceValue(e.declare)
	for _, v := range c.Variables {
		if !known.has(ruleEnv, v.Expression) { // not built in: it may be wrong
			if err := e.declared(); err != nil {
				return nil, err
			}
		}
		e.names = append(e.names, v.Name)
		e.variables = append(e.variables, &variable{v, sync.OnceValues(func() (cel.Program, error) { return e.variableProgram(v) })})
	}
	return e, nil
}

// declare compiles the variables for their types, which only the compiler asks for.
// Each sees those before it.
func (e *Evaluator) declare() error {
	for _, v := range e.catalogue.Variables {
		found, ok := e.checked.find(ruleEnv, v.Expression)
		if !ok {
			compiled, issues := e.env.Compile(v.Expression)
			if issues.Err() != nil {
				return fmt.Errorf("variable %s: %w", v.Name, issues.Err())
			}
			found = compiled.NativeRep()
		}
		e.varType.Declare(v.Name, output(found))
	}
	return nil
}

func (e *Evaluator) variableProgram(v Variable) (cel.Program, error) {
	checked, err := e.compile(ruleEnv, v.Expression)
	if err != nil {
		return nil, err
	}
	return e.env.PlanProgram(checked)
}

// output is the type of what an expression evaluates to.
func output(checked *ast.AST) *cel.Type { return checked.GetType(checked.Expr().ID()) }

// Catalogue returns the rules that the evaluator evaluates.
func (e *Evaluator) Catalogue() *Catalogue { return e.catalogue }

// Compile compiles every rule and every element expression: what a test or
// `bulkhead rules test` wants, and a run does not.
func (e *Evaluator) Compile() error {
	for i := range e.catalogue.Rules {
		if err := e.CompileRule(&e.catalogue.Rules[i]); err != nil {
			return err
		}
	}
	return nil
}

// CompileRule compiles one rule: the expression that fires, and those that find
// where. A rule of another scope than pod has none.
func (e *Evaluator) CompileRule(r *Rule) error {
	if r.Scope != ScopePod {
		return nil
	}
	if _, err := e.rule(r); err != nil {
		return err
	}
	for _, a := range r.Any {
		if len(a.Command) > 0 {
			continue
		}
		_, when, absent := a.general()
		for _, expr := range []string{when, absent} {
			if _, err := e.element(expr); err != nil {
				return fmt.Errorf("rule %s: %w", r.ID, err)
			}
		}
	}
	return nil
}

func (e *Evaluator) rule(r *Rule) (cel.Program, error) {
	prg, err := e.program(ruleEnv, r.ID, r.Expression)
	if err != nil {
		return nil, fmt.Errorf("rule %s: %w", r.ID, err)
	}
	return prg, nil
}

func (e *Evaluator) element(expr string) (cel.Program, error) {
	return e.program(elementEnv, expr, func() string { return expr })
}

// oversizedVar is the variable that every rule's expression begins with.
const oversizedVar = "oversized"

// The environments that expressions are written for: a rule's sees the object
// and the variables, an element's also c and v.
const (
	ruleEnv    = "rule"
	elementEnv = "element"
)

// environment returns an environment by its name. An element's is made when the
// first rule fires.
func (e *Evaluator) environment(name string) *cel.Env {
	if name == ruleEnv {
		return e.env
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.elements == nil {
		env, err := e.env.Extend(cel.Variable(containerVar, cel.DynType), cel.Variable(valueVar, cel.DynType))
		if err != nil {
			panic(fmt.Sprintf("rules: two variables added to a CEL environment: %v", err)) //nolint:forbidigo // cannot happen: the names are constants
		}
		e.elements = env
	}
	return e.elements
}

// program returns the program of an expression, which is compiled once. The
// text is asked for only then.
func (e *Evaluator) program(env, key string, expr func() string) (cel.Program, error) {
	key = env + "\x00" + key
	e.mu.Lock()
	p, ok := e.programs[key]
	if !ok {
		p = &program{}
		e.programs[key] = p
	}
	e.mu.Unlock()
	p.once.Do(func() { p.prg, p.err = e.boolProgram(env, expr()) })
	return p.prg, p.err
}

func (e *Evaluator) boolProgram(env, expr string) (cel.Program, error) {
	checked, err := e.compile(env, expr)
	if err != nil {
		return nil, fmt.Errorf("compiling %q: %w", expr, err)
	}
	// The API server accepts nothing else from a validation.
	if t := output(checked); !t.IsExactType(cel.BoolType) {
		return nil, fmt.Errorf("compiling %q: it is %s, not bool", expr, t)
	}
	prg, err := e.environment(env).PlanProgram(checked)
	if err != nil {
		return nil, fmt.Errorf("compiling %q: %w", expr, err)
	}
	return prg, nil
}

// compile parses and checks an expression, unless that was done at build time.
func (e *Evaluator) compile(env, expr string) (*ast.AST, error) {
	if found, ok := e.checked.find(env, expr); ok {
		return found, nil
	}
	if err := e.declared(); err != nil {
		return nil, err
	}
	compiled, issues := e.environment(env).Compile(expr)
	if err := issues.Err(); err != nil {
		return nil, err
	}
	return compiled.NativeRep(), nil
}

// compiled returns a pattern of the catalogue, compiled once; nil where it is none.
func (e *Evaluator) compiled(pattern string) *regexp.Regexp {
	if re, ok := e.patterns.Load(pattern); ok {
		return re.(*regexp.Regexp)
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil
	}
	e.patterns.Store(pattern, re)
	return re
}

// Pod is one pod under evaluation: its variables are evaluated at most once.
// It is for one goroutine.
type Pod struct {
	e          *Evaluator
	object     map[string]any
	activation map[string]any
	glance     *glance // nil until a rule is evaluated
	known      *verdicts
	knownWhole *verdicts // of rules that see more than the spec; nil until one is asked for
	// variableCost is what evaluating variables has cost, in CEL's units.
	variableCost uint64
}

// Pod prepares a pod (apiVersion, kind, metadata, spec as decoded JSON).
func (e *Evaluator) Pod(object map[string]any) *Pod {
	p := &Pod{e: e, object: object, known: e.memo.of(object["spec"])}
	p.activation = map[string]any{objectVar: object, variables.Name: e.varType.Bind(e.names, p.variable)}
	return p
}

// variable evaluates the variable at position i.
func (p *Pod) variable(i int) ref.Val {
	v := p.e.variables[i]
	if v.Name == oversizedVar && small(p.object) {
		return types.False
	}
	prg, err := v.program()
	if err != nil {
		return types.NewErr("variable %s: %v", v.Name, err)
	}
	out, details, err := prg.Eval(p.activation)
	if cost := details.ActualCost(); cost != nil {
		p.variableCost += *cost
	}
	if err != nil {
		return types.NewErr("variable %s: %v", v.Name, err)
	}
	return out
}

// remembered returns what is known of pods that look the same to the rule at
// position i.
func (p *Pod) remembered(i int) *verdicts {
	if !p.e.whole.has(i) {
		return p.known
	}
	if p.knownWhole == nil {
		p.knownWhole = p.e.memo.of(p.object)
	}
	return p.knownWhole
}

// Fires evaluates the rule's expression, unless its guard says that it cannot
// fire on this pod.
func (p *Pod) Fires(r *Rule) (bool, error) {
	if !p.mayFire(r) {
		return false, nil
	}
	return p.evaluate(r)
}

// mayFire asks the rule's guard. Rules that are not the catalogue's have none.
func (p *Pod) mayFire(r *Rule) bool {
	i, ok := p.e.positions[r]
	if !ok {
		return true
	}
	p.e.guards.prepare(p.e.catalogue)
	if p.glance == nil {
		p.glance = p.e.guards.look(p.object)
	}
	return p.e.mayFire(i, p.object, p.glance)
}

// searches returns what the rule looks for.
func (e *Evaluator) searches(r *Rule) []search {
	e.guards.prepare(e.catalogue)
	if i, ok := e.positions[r]; ok {
		return e.guards.searches[i]
	}
	return newSearches(r)
}

// evaluate evaluates the rule's expression.
func (p *Pod) evaluate(r *Rule) (bool, error) {
	prg, err := p.e.rule(r)
	if err != nil {
		return false, err
	}
	ok, err := evalBool(prg, p.activation)
	if err != nil {
		return false, fmt.Errorf("rule %s: %w", r.ID, err)
	}
	return ok, nil
}

func evalBool(prg cel.Program, activation any) (bool, error) {
	out, _, err := prg.Eval(activation)
	if err != nil {
		return false, err
	}
	b, ok := out.Value().(bool)
	if !ok {
		return false, fmt.Errorf("it evaluated to %T, not bool", out.Value())
	}
	return b, nil
}
