package sandbox

import (
	"errors"
	"math"
	"testing"
)

func TestLimitsValidate(t *testing.T) {
	for _, tt := range []struct {
		limits Limits
		ok     bool
	}{
		{Limits{}, true},
		{Limits{PIDs: MinPIDs, MemoryBytes: MinMemoryBytes, MilliCPUs: MinMilliCPUs}, true},
		{Limits{PIDs: MinPIDs - 1}, false},
		{Limits{PIDs: -1}, false},
		{Limits{MemoryBytes: MinMemoryBytes - 1}, false},
		{Limits{MemoryBytes: math.MinInt64}, false},
		{Limits{MilliCPUs: MinMilliCPUs - 1}, false},
		{Limits{MilliCPUs: math.MaxInt64}, false},
	} {
		if err := tt.limits.Validate(); (err == nil) != tt.ok || err != nil && !errors.Is(err, ErrLimit) {
			t.Errorf("%+v: %v, want ok %t", tt.limits, err, tt.ok)
		}
	}
}
