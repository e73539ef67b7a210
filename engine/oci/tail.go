package oci

import (
	"strings"
	"sync"
	"unicode"
)

// tailBytes is how much of a runtime's standard error is kept for messages.
const tailBytes = 2 << 10

// Tail is a writer that keeps the end of what is written to it. It is safe for
// concurrent use.
type Tail struct {
	mu   sync.Mutex
	kept []byte
}

// Write keeps the end of p. It never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p[max(0, len(p)-tailBytes):]...)
	t.kept = t.kept[max(0, len(t.kept)-tailBytes):]
	return len(p), nil
}

// String returns what was kept as one line without control characters: part of
// it may come from inside the sandbox.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	printable := strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(string(t.kept), " "))
	return strings.Join(strings.Fields(printable), " ")
}
