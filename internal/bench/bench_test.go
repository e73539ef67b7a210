package bench

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

func samples(ms ...int) Series {
	s := Series{Name: "s"}
	for _, m := range ms {
		s.Samples = append(s.Samples, time.Duration(m)*time.Millisecond)
	}
	return s
}

func TestQuantileAndRatio(t *testing.T) {
	s := samples(30, 10, 20, 40)
	if got := s.Quantile(0.5); got != 30*time.Millisecond {
		t.Errorf("p50 = %s", got)
	}
	if got := s.Quantile(1); got != 40*time.Millisecond {
		t.Errorf("p100 = %s", got)
	}
	// Each round is twice its baseline, however the machine drifted.
	if got := samples(20, 200, 2).Ratio(samples(10, 100, 1)); got != 2 {
		t.Errorf("ratio = %v", got)
	}
	if got := (Series{}).Quantile(0.5); got != 0 {
		t.Errorf("p50 of nothing = %s", got)
	}
}

func TestInterleave(t *testing.T) {
	var order []string
	once := func(name string) Case {
		return Case{name, func(context.Context) (time.Duration, error) {
			order = append(order, name)
			return time.Duration(len(order)), nil
		}}
	}
	series, err := Interleave(t.Context(), 2, []Case{once("a"), once("b")})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(order, ""); got != "ababab" {
		t.Errorf("order %s", got)
	}
	if len(series) != 2 || len(series[0].Samples) != 2 || series[0].Samples[0] != 3 {
		t.Errorf("the warm-up counts: %+v", series)
	}
	fails := Case{"c", func(context.Context) (time.Duration, error) { return 0, errors.New("broken") }}
	if _, err := Interleave(t.Context(), 1, []Case{fails}); err == nil || !strings.Contains(err.Error(), "c, round 0: broken") {
		t.Errorf("error %v", err)
	}
}
