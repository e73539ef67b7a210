package console

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/bulkhead-dev/bulkhead/internal/printable"
)

// progressAfter is how long work takes before it shows progress.
const progressAfter = 500 * time.Millisecond

// Progress is a line on a terminal that says how far long work is. Anywhere
// else, and for short work, it writes nothing.
type Progress struct {
	mu   sync.Mutex
	text string
	stop chan struct{}
	gone sync.WaitGroup
}

// NewProgress starts a line on w.
func NewProgress(w io.Writer) *Progress {
	p := &Progress{stop: make(chan struct{})}
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" || !term.IsTerminal(int(f.Fd())) {
		return p
	}
	p.gone.Go(func() { p.draw(f, time.After(progressAfter)) })
	return p
}

// Say sets what the line says.
func (p *Progress) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = fmt.Sprintf(format, args...)
}

// Done takes the line away. It must be called before anything else is written.
func (p *Progress) Done() {
	close(p.stop)
	p.gone.Wait()
}

func (p *Progress) draw(w io.Writer, start <-chan time.Time) {
	select {
	case <-p.stop:
		return
	case <-start:
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		p.mu.Lock()
		fmt.Fprintf(w, "\r\x1b[K%s", printable.Lines(p.text))
		p.mu.Unlock()
		select {
		case <-p.stop:
			fmt.Fprint(w, "\r\x1b[K")
			return
		case <-tick.C:
		}
	}
}
