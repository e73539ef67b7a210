// Package fault lets an error carry what the person who reads it needs next:
// a hint (the next step) and the exit code the process should end with.
//
// Both ride on the error through any number of wraps and are read once, in
// package cli. Code that returns a fault never prints it.
package fault

import "errors"

// Exit codes of the CLI contract. Verbs that run a command (`bulkhead run`)
// use Internal for a failure of Bulkhead itself, so that it cannot be mistaken
// for the command's own code.
const (
	// Findings: a check ran to its end and found something.
	Findings = 1
	// Usage: the input or the command line was bad.
	Usage = 2
	// Timeout: the wall time given by the user was over.
	Timeout = 124
	// Internal: Bulkhead could not do what it was asked to.
	Internal = 125
	// NotExecutable: the command was found but cannot be executed.
	NotExecutable = 126
	// NotFound: the command does not exist in the sandbox.
	NotFound = 127
	// Memory: the sandbox was killed because it reached its limit of memory, as
	// a command that was ended by SIGKILL.
	Memory = 137
)

type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

// WithHint attaches the next step to err. The outermost hint wins.
// A nil err stays nil.
func WithHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return hinted{err, hint}
}

// Hint returns the outermost hint on err, or "".
func Hint(err error) string {
	if h, ok := errors.AsType[hinted](err); ok {
		return h.hint
	}
	return ""
}

type coded struct {
	error
	code int
}

func (c coded) Unwrap() error { return c.error }

// WithCode attaches an exit code to err. The outermost code wins.
// A nil err stays nil.
func WithCode(err error, code int) error {
	if err == nil {
		return nil
	}
	return coded{err, code}
}

// Code returns the exit code on err: 0 for nil, fallback where none is attached.
func Code(err error, fallback int) int {
	if err == nil {
		return 0
	}
	if c, ok := errors.AsType[coded](err); ok {
		return c.code
	}
	return fallback
}
