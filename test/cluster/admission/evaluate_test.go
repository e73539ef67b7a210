package admission

import (
	"fmt"
	"os"
	"syscall"
	"testing"

	"github.com/google/cel-go/cel"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiadmission "k8s.io/apiserver/pkg/admission"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
)

// compiled is a policy as the API server holds it.
type compiled struct {
	name string
	// conditions, what is asked, and what is said of it: as the API server, each
	// of the three evaluates the variables that it uses anew.
	conditions, asked, said plugincel.ConditionEvaluator
}

func compile(tb testing.TB, name string, vars []admissionv1.Variable, conditions []admissionv1.MatchCondition, asked, said []string) compiled {
	tb.Helper()
	env, err := environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()).Extend(environment.StrictCostOpt)
	if err != nil {
		tb.Fatal(err)
	}
	c, err := plugincel.NewCompositedCompiler(env)
	if err != nil {
		tb.Fatal(err)
	}
	opts := plugincel.OptionalVariableDeclarations{HasAuthorizer: true, HasPatchTypes: true}
	for _, v := range vars {
		if r := c.CompileAndStoreVariable(&validating.Variable{Name: v.Name, Expression: v.Expression}, opts, environment.StoredExpressions); r.Error != nil {
			tb.Fatal(v.Name, r.Error)
		}
	}
	list := func(texts []string) plugincel.ConditionEvaluator {
		var out []plugincel.ExpressionAccessor
		for _, text := range texts {
			if text == "" {
				out = append(out, nil)
				continue
			}
			out = append(out, &anyExpression{text})
		}
		return c.CompileCondition(out, opts, environment.StoredExpressions)
	}
	var match []string
	for _, m := range conditions {
		match = append(match, m.Expression)
	}
	return compiled{name, list(match), list(asked), list(said)}
}

func (c *compiled) evaluate(tb testing.TB, attrs *apiadmission.VersionedAttributes, ns *corev1.Namespace) int64 {
	req := plugincel.CreateAdmissionRequest(attrs.Attributes, metav1.GroupVersionResource{Version: "v1", Resource: "pods"}, metav1.GroupVersionKind{Version: "v1", Kind: "Pod"})
	left := int64(celconfig.RuntimeCELCostBudget)
	for i, e := range []plugincel.ConditionEvaluator{c.conditions, c.asked, c.said} {
		out, rest, err := e.ForInput(tb.Context(), attrs, req, plugincel.OptionalVariableBindings{}, ns, left)
		if err != nil {
			tb.Fatal(c.name, err)
		}
		for _, o := range out {
			if o.Error != nil && i < 2 { // what is said needs not be sayable of a pod that is admitted
				tb.Fatal(c.name, o.Error)
			}
			if i == 0 && o.EvalResult.Value() == false {
				return left - rest
			}
		}
		if i > 0 {
			left = rest
		}
	}
	return celconfig.RuntimeCELCostBudget - left
}

type anyExpression struct{ text string }

func (e *anyExpression) GetExpression() string    { return e.text }
func (e *anyExpression) ReturnTypes() []*cel.Type { return []*cel.Type{cel.AnyType} }

// BenchmarkSet evaluates what the default policy renders to as the API server
// does, without the rest of a request.
func BenchmarkSet(b *testing.B) {
	for _, n := range []int{1, 100} {
		set := rendered(b, n)
		for _, p := range []struct {
			name string
			pod  *corev1.Pod
		}{{"ordinary", Ordinary()}, {"agent", Agent()}} {
			pod := p.pod
			pod.Namespace = "bench"
			ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "bench"}}
			attrs := func() *apiadmission.VersionedAttributes {
				gvk := schema.GroupVersionKind{Version: "v1", Kind: "Pod"}
				a := apiadmission.NewAttributesRecord(pod, nil, gvk, "bench", "", schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "", apiadmission.Create, &metav1.CreateOptions{}, false, &user.DefaultInfo{Name: "u"})
				return &apiadmission.VersionedAttributes{Attributes: a, VersionedKind: gvk, VersionedObject: apiadmission.NewLazyObject(pod)}
			}
			for _, c := range set {
				b.Run(fmt.Sprintf("%d/%s/%s", n, p.name, c.name), func(b *testing.B) {
					var cost int64
					b.ReportAllocs()
					before := cpu(b)
					for b.Loop() {
						cost = c.evaluate(b, attrs(), ns)
					}
					b.ReportMetric(float64(cost), "cost")
					b.ReportMetric(float64(cpu(b)-before)/float64(b.N), "cpu-ns/op")
				})
			}
		}
	}
}

func rendered(tb testing.TB, n int) []compiled {
	tb.Helper()
	text, err := os.ReadFile("../../../deploy/policies/default.yaml")
	if err != nil {
		tb.Fatal(err)
	}
	var object map[string]any
	if err := yaml.Unmarshal(text, &object); err != nil {
		tb.Fatal(err)
	}
	p, errs := v1alpha1.Read(object)
	if len(errs) > 0 {
		tb.Fatal(errs.ToAggregate())
	}
	objects, err := Policies(p, n, "bench")
	if err != nil {
		tb.Fatal(err)
	}
	var out []compiled
	for _, o := range objects {
		switch p := o.(type) {
		case *admissionv1.ValidatingAdmissionPolicy:
			var asked, said []string
			for _, v := range p.Spec.Validations {
				asked, said = append(asked, v.Expression), append(said, v.MessageExpression)
			}
			out = append(out, compile(tb, p.Name, p.Spec.Variables, p.Spec.MatchConditions, asked, said))
		case *admissionv1.MutatingAdmissionPolicy:
			var asked []string
			for _, m := range p.Spec.Mutations {
				asked = append(asked, m.JSONPatch.Expression)
			}
			out = append(out, compile(tb, p.Name, p.Spec.Variables, p.Spec.MatchConditions, asked, nil))
		}
	}
	return out
}

// cpu is the processor time of this process, in nanoseconds: what others do on
// the machine hardly counts.
func cpu(tb testing.TB) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
