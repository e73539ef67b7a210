// Package bench times alternatives side by side. Machines drift: a figure means
// something only as a ratio to a baseline that was measured in the same rounds.
package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Case is one alternative.
type Case struct {
	Name string
	// Once does what is timed and returns how long the timed part took.
	Once func(ctx context.Context) (time.Duration, error)
}

// Series are the samples of one case, in the order in which they were taken.
type Series struct {
	Name    string
	Samples []time.Duration
}

// Interleave runs all cases in turn, rounds times, after one round that does
// not count. The first error ends it.
func Interleave(ctx context.Context, rounds int, cases []Case) ([]Series, error) {
	series := make([]Series, len(cases))
	for i, c := range cases {
		series[i].Name = c.Name
	}
	for round := range rounds + 1 {
		for i, c := range cases {
			took, err := c.Once(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s, round %d: %w", c.Name, round, err)
			}
			if round > 0 {
				series[i].Samples = append(series[i].Samples, took)
			}
		}
	}
	return series, nil
}

// Quantile returns the q-quantile (0 to 1) of the samples, by nearest rank; 0
// when there are none.
func (s Series) Quantile(q float64) time.Duration {
	if len(s.Samples) == 0 {
		return 0
	}
	sorted := slices.Clone(s.Samples)
	slices.Sort(sorted)
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// Ratio returns the median of the ratios to base, round by round: what drifts
// from round to round cancels out.
func (s Series) Ratio(base Series) float64 {
	n := min(len(s.Samples), len(base.Samples))
	if n == 0 {
		return 0
	}
	ratios := make([]float64, n)
	for i := range n {
		ratios[i] = float64(s.Samples[i]) / float64(base.Samples[i])
	}
	slices.Sort(ratios)
	return ratios[n/2]
}

// Markdown renders the series as a table; ratios are to the series named base.
func Markdown(series []Series, base string) string {
	var baseline Series
	for _, s := range series {
		if s.Name == base {
			baseline = s
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "| | p50 | p95 | ratio to %s |\n|---|---:|---:|---:|\n", base)
	for _, s := range series {
		fmt.Fprintf(&b, "| %s | %s | %s | %.2f |\n", s.Name, ms(s.Quantile(0.5)), ms(s.Quantile(0.95)), s.Ratio(baseline))
	}
	return b.String()
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
