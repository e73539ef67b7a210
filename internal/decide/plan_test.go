package decide_test

import (
	"os"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/boundary"
	"github.com/bulkhead-dev/bulkhead/internal/config"
	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/risk"
)

const interpreter = "../../examples/llm-stack/code-interpreter.yaml"

func plan(t *testing.T, cfg config.Config, now time.Time) decide.Plan {
	t.Helper()
	text, err := os.ReadFile(interpreter)
	if err != nil {
		t.Fatal(err)
	}
	p, err := decide.NewPlan(interpreter, "", text, cfg, now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlanOfTheCodeInterpreter(t *testing.T) {
	now := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	p := plan(t, config.Default(), now)
	if p.Class != risk.CodeExecution || p.Required != boundary.VirtualMachine || p.Accepted != boundary.VirtualMachine || p.Waiver != "" {
		t.Errorf("by the default route: class %s, required %s, accepted %s, waiver %q", p.Class, p.Required, p.Accepted, p.Waiver)
	}
	if p.Pod.Name != "code-interpreter" || len(p.Pod.Spec.Containers) != 1 || p.Pod.Spec.Containers[0].Command[0] != "jupyter" {
		t.Errorf("pod = %+v", p.Pod)
	}

	waived, err := config.ReadFile("../../examples/llm-stack/waiver.yaml")
	if err != nil {
		t.Fatal(err)
	}
	p = plan(t, waived, now)
	ends := waived.Waivers[0].Expires
	want := "below the default route, waived by platform-team until " + ends.AddDate(0, 0, -1).Format(time.DateOnly) +
		" (SEC-142): the nodes have no KVM yet; gVisor until the microVM pool is there"
	if p.Required != boundary.VirtualMachine || p.Accepted != boundary.UserKernel || p.Waiver != want {
		t.Errorf("with the waiver: required %s, accepted %s, waiver %q", p.Required, p.Accepted, p.Waiver)
	}

	lastMoment := ends.Add(-time.Second)
	if p := plan(t, waived, lastMoment); p.Accepted != boundary.UserKernel {
		t.Errorf("on its last day the waiver does not hold: accepted %s", p.Accepted)
	}
	if p := plan(t, waived, lastMoment.Add(time.Second)); p.Accepted != boundary.VirtualMachine || p.Waiver != "" {
		t.Errorf("the day after, the waiver still holds: accepted %s, waiver %q", p.Accepted, p.Waiver)
	}
}
