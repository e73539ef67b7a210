//go:build linux

package folder

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// TestSweep: what is held stays, what nobody holds is cleaned and goes, and
// what could not be cleaned stays for the next sweep.
func TestSweep(t *testing.T) {
	state := t.TempDir()
	held, err := Take(state, "x", "held")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Take(state, "x", "held"); err == nil {
		t.Error("a name that is taken was given again")
	}
	for _, name := range []string{"x-left", "x-stuck", "y-other", "named", unnamed + "left"} {
		if err := os.Mkdir(filepath.Join(state, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(state, name, lockFile), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var cleaned []string
	err = Sweep(state, "x", func(_, id string) error {
		cleaned = append(cleaned, id)
		if id == "stuck" {
			return errors.New("stuck")
		}
		return nil
	})
	if err == nil || !slices.Equal(cleaned, []string{"left", "stuck"}) {
		t.Errorf("cleaned %v, error %v", cleaned, err)
	}
	if got := list(t, state); !slices.Equal(got, []string{"named", "x-held", "x-stuck", "y-other"}) {
		t.Errorf("there is %v", got)
	}
	if err := held.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := Take(state, "x", "held"); err != nil {
		t.Errorf("a name that was given back: %v", err)
	}
}

// TestTakeWhileSwept: sweeps never take a folder from who has it.
func TestTakeWhileSwept(t *testing.T) {
	state := t.TempDir()
	done := make(chan struct{})
	var sweeps sync.WaitGroup
	for range 2 {
		sweeps.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = Sweep(state, "x", func(_, id string) error { t.Errorf("%s was swept", id); return nil })
				}
			}
		})
	}
	for range 200 {
		f, err := Take(state, "x", "box")
		if err != nil {
			t.Error(err)
			break
		}
		if _, err := os.Stat(f.Dir); err != nil {
			t.Error(err)
		}
		// Who removes a folder holds it to the end.
		if err := f.Remove(); err != nil {
			t.Error(err)
		}
	}
	close(done)
	sweeps.Wait()
	_ = Sweep(state, "x", func(string, string) error { return nil })
	if got := list(t, state); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestNames(t *testing.T) {
	for cmdline, want := range map[string]bool{
		"runsc\x00--root=/run/a/state\x00boot": true,
		"runsc\x00--bundle\x00/run/a\x00":      true,
		"runsc\x00--bundle\x00/run/ab":         false,
		"runsc\x00/run":                        false,
		"x=/run/a":                             false,
		"":                                     false,
	} {
		if got := names(cmdline, "/run/a"); got != want {
			t.Errorf("%q: %t", cmdline, got)
		}
	}
}
