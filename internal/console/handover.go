package console

import (
	"fmt"
	"os"
	"syscall"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/version"
)

// callerVariable tells a companion which version called it. It is gone from the
// environment before the companion does anything.
const callerVariable = "BULKHEAD_CALLER_VERSION"

// oneRelease is what to do about binaries that do not fit together.
const oneRelease = "install all binaries from one release, or run `make build`"

// HandOver makes this process the companion called name, with the same arguments,
// streams and environment. It returns only if that failed.
func HandOver(name string, args []string) error {
	exe := Companion(name)
	if exe == "" {
		return UsageError(fmt.Errorf("%s not found, which has this verb", name), "put it beside the bulkhead binary or on PATH: it comes in the same archive")
	}
	if os.Getenv(callerVariable) != "" { // it would go round for ever
		return UsageError(fmt.Errorf("%s is another program of this name", exe), oneRelease)
	}
	env := append(os.Environ(), callerVariable+"="+version.String())
	err := syscall.Exec(exe, append([]string{name}, args...), env)
	return UsageError(fmt.Errorf("starting %s: %w", exe, err), oneRelease)
}

// CheckCaller refuses to work for a binary of another version. name is this one.
func CheckCaller(name string) error {
	caller, called := os.LookupEnv(callerVariable)
	if err := os.Unsetenv(callerVariable); err != nil {
		return fmt.Errorf("preparing the environment: %w", err)
	}
	if called && caller != version.String() {
		return fault.WithHint(fault.WithCode(fmt.Errorf("%s is of version %s, bulkhead of %s", name, version.String(), caller), fault.Usage),
			oneRelease)
	}
	return nil
}
