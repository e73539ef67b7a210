package pod

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLimits(t *testing.T) {
	of := func(role Role, limits Limits) Container {
		return Container{Name: string(role), Role: role, Limits: limits}
	}
	for name, tt := range map[string]struct {
		containers []Container
		want       Limits
		note       string
	}{
		"none":                        {[]Container{of(Main, nil)}, Limits{}, ""},
		"those beside each other add": {[]Container{of(Sidecar, Limits{CPU: 250, Memory: 1}), of(Main, Limits{CPU: 500, Memory: 2})}, Limits{CPU: 750, Memory: 3}, "all containers together"},
		"an init container has more":  {[]Container{of(Init, Limits{Memory: 9}), of(Main, Limits{Memory: 2})}, Limits{Memory: 9}, "all containers together"},
		"an init container has less":  {[]Container{of(Init, Limits{Memory: 1}), of(Main, Limits{Memory: 2})}, Limits{Memory: 2}, "all containers together"},
		"one may take all":            {[]Container{of(Sidecar, nil), of(Main, Limits{Memory: 2})}, Limits{}, "memory is not limited, because the containers share one sandbox and sidecar has no limit of it"},
		"more than there are numbers": {[]Container{of(Sidecar, Limits{Memory: math.MaxInt64}), of(Main, Limits{Memory: 2})}, Limits{Memory: math.MaxInt64}, "all containers together"},
	} {
		p := Pod{Containers: tt.containers}
		got, notes := p.Limits()
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if said := strings.Join(notes, "\n"); !strings.Contains(said, tt.note) || tt.note == "" && said != "" {
			t.Errorf("%s: said %q, want %q", name, said, tt.note)
		}
	}
}
