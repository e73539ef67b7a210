package admission

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

func TestAdded(t *testing.T) {
	ms := func(n ...int) (out []Block) {
		for _, v := range n {
			out = append(out, Block{time.Duration(v) * time.Millisecond})
		}
		return out
	}
	ratio, usable := Added(0.5, ms(10, 10, 10, 10), ms(11, 12, 14, 99), ms(12, 14, 14, 9))
	if ratio != 0.5 || usable != 3 {
		t.Errorf("%v of %d rounds, want the median 0.5 of the 3 in which webhooks add something", ratio, usable)
	}
	if _, usable := Added(0.5, ms(10), ms(11), ms(10)); usable != 0 {
		t.Errorf("%d usable rounds, want none", usable)
	}
}

func TestRun(t *testing.T) {
	var n atomic.Int64
	b, err := Run(t.Context(), 3, 100, func(context.Context) error { n.Add(1); return nil })
	if err != nil || n.Load() != 100 || len(b) != 100 || b[0] <= 0 {
		t.Errorf("%d requests, %d times from %v, %v", n.Load(), len(b), b[0], err)
	}
	refused := errors.New("refused")
	if _, err := Run(t.Context(), 3, 9, func(context.Context) error { return refused }); !errors.Is(err, refused) {
		t.Errorf("a failed request is lost: %v", err)
	}
}
