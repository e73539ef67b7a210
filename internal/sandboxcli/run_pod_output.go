//go:build linux

package sandboxcli

import (
	"bytes"
	"io"
	"sync"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/pod"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
	"github.com/bulkhead-dev/bulkhead/internal/runner"
)

// maxLine is how much of a line without an end is kept before it is shown.
const maxLine = 64 << 10

// outputs are where a pod's containers write. One container has this process's
// own streams; of several, each line says whose it is.
type outputs struct {
	only     *console.Streams // nil: there are several
	out, err *shared
	mu       sync.Mutex
	named    map[string][2]*lines // stdout and stderr
}

type shared struct {
	mu sync.Mutex
	to io.Writer
}

// newOutputs are those of a pod, all of them together within limit bytes; 0: unbounded.
func newOutputs(s console.Streams, p *pod.Pod, limit int64) *outputs {
	o := &outputs{only: &s}
	if len(p.Containers) > 1 {
		o = severalOutputs(s)
	}
	switch {
	case limit > 0 && o.only != nil:
		both := runner.Bound(limit, s.Out, s.Err)
		o.only.Out, o.only.Err = both[0], both[1]
	case limit > 0:
		both := runner.Bound(limit, o.out.to, o.err.to)
		o.out.to, o.err.to = both[0], both[1]
	}
	return o
}

// severalOutputs are those of several containers. To a terminal control
// characters are shown: with them one could write in another's name.
func severalOutputs(s console.Streams) *outputs {
	return &outputs{out: &shared{to: safeForTerminal(s.Out)}, err: &shared{to: safeForTerminal(s.Err)}, named: map[string][2]*lines{}}
}

func (o *outputs) of(c pod.Container) (stdout, stderr io.Writer) {
	if o.only != nil {
		return o.only.Out, o.only.Err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	l, ok := o.named[c.Name]
	if !ok {
		prefix := "[" + printable.Lines(c.Name) + "] "
		l = [2]*lines{{shared: o.out, prefix: prefix}, {shared: o.err, prefix: prefix}}
		o.named[c.Name] = l
	}
	return l[0], l[1]
}

// flush shows lines that have no end.
func (o *outputs) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, both := range o.named {
		for _, l := range both {
			l.mu.Lock()
			if len(l.part) > 0 {
				_ = l.line(append(l.part, '\n'))
			}
			l.part = nil
			l.mu.Unlock()
		}
	}
}

// lines puts a prefix before each line.
type lines struct {
	*shared
	prefix string
	part   []byte // a line's beginning
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, p...)
	for {
		end := bytes.IndexByte(l.part, '\n')
		if end < 0 {
			break
		}
		if err := l.line(l.part[:end+1]); err != nil {
			return 0, err
		}
		l.part = l.part[end+1:]
	}
	if len(l.part) > maxLine {
		err := l.line(append(l.part, '\n'))
		l.part = nil
		if err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (l *lines) line(text []byte) error {
	_, err := l.to.Write(append([]byte(l.prefix), text...))
	return err
}
