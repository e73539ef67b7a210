package admission

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Block is the times of one block of requests at one server, sorted.
type Block []time.Duration

// Quantile returns the time that a share q of the requests does not exceed.
func (b Block) Quantile(q float64) time.Duration {
	return b[min(len(b)-1, int(q*float64(len(b))))]
}

// Run makes n requests by so many clients at the same time.
func Run(ctx context.Context, clients, n int, request func(context.Context) error) (Block, error) {
	block := make(Block, n)
	errs := make([]error, clients)
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for i := c; i < n; i += clients {
				start := time.Now()
				if err := request(ctx); err != nil {
					errs[c] = err
					return
				}
				block[i] = time.Since(start)
			}
		})
	}
	all.Wait()
	slices.Sort(block)
	return block, errors.Join(errs...)
}

// Added returns the median over the rounds of what policies add at quantile q,
// as a share of what the webhooks add. A round whose webhooks add nothing says
// nothing; usable is the number of the others.
func Added(q float64, none, policies, webhooks []Block) (ratio float64, usable int) {
	var ratios []float64
	for i := range none {
		base := none[i].Quantile(q)
		if floor := webhooks[i].Quantile(q) - base; floor > 0 {
			ratios = append(ratios, float64(policies[i].Quantile(q)-base)/float64(floor))
		}
	}
	if len(ratios) == 0 {
		return 0, 0
	}
	slices.Sort(ratios)
	middle := len(ratios) / 2
	if len(ratios)%2 == 0 {
		return (ratios[middle-1] + ratios[middle]) / 2, len(ratios)
	}
	return ratios[middle], len(ratios)
}

// Median is the median over the blocks of their times at quantile q.
func Median(q float64, blocks []Block) time.Duration {
	times := make(Block, len(blocks))
	for i, b := range blocks {
		times[i] = b.Quantile(q)
	}
	slices.Sort(times)
	return times.Quantile(0.5)
}
