package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/kubecli"
	"github.com/bulkhead-dev/bulkhead/internal/sandboxcli"
)

// TestMain makes the test binary be `bulkhead` when a script calls it, and
// `bulkhead-decide` or `bulkhead-kube` when bulkhead does.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"bulkhead": func() {
			os.Exit(sandboxcli.Main(context.Background(), os.Args[1:], console.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
		},
		sandboxcli.Decider: func() {
			os.Exit(Main(context.Background(), os.Args[1:], console.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
		},
		"bulkhead-kube": func() {
			os.Exit(kubecli.Main(context.Background(), os.Args[1:], kubecli.Streams{Out: os.Stdout, Err: os.Stderr}))
		},
	})
}

// TestScript runs every script of testdata/script. Conditions: [root] and
// [sandbox] (the binaries of `make build` are there).
// BULKHEAD_UPDATE=1 rewrites the golden outputs.
func TestScript(t *testing.T) {
	bin, err := filepath.Abs(filepath.Join("..", "..", "bin"))
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("BULKHEAD_BIN"); dir != "" {
		bin = dir
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		UpdateScripts:       os.Getenv("BULKHEAD_UPDATE") == "1",
		RequireExplicitExec: false,
		Setup: func(env *testscript.Env) error {
			root, err := filepath.Abs(filepath.Join("..", ".."))
			if err != nil {
				return err
			}
			self, err := exec.LookPath("bulkhead")
			if err != nil {
				return err
			}
			env.Setenv("ROOT", root)
			env.Setenv("BULKHEAD", self)
			env.Setenv("BIN", bin)
			env.Setenv("PATH", env.Getenv("PATH")+string(os.PathListSeparator)+bin)
			return nil
		},
		Condition: func(name string) (bool, error) {
			switch name {
			case "root":
				return os.Geteuid() == 0, nil
			case "sandbox":
				for _, name := range []string{"bulkhead-runsc", "bulkhead-guest"} {
					if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
						return false, nil
					}
				}
				return true, nil
			}
			return false, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code": cmdCode,
			"box":  cmdBox,
		},
	})
}

// cmdCode runs a command and checks its exit code: code N COMMAND [ARG]...
func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND [ARG]...")
	}
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if got := strconv.Itoa(code); got != args[0] {
		ts.Fatalf("%v ended with code %s, want %s", args[1:], got, args[0])
	}
}

// cmdBox makes up a name for a detached sandbox, and removes the sandbox at the
// script's end, however it ends: box VARIABLE. Root's sandboxes are the
// machine's, so that a fixed name could be another run's.
func cmdBox(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: box VARIABLE")
	}
	name := "script-" + strings.ToLower(rand.Text()[:10])
	ts.Setenv(args[0], name)
	ts.Defer(func() {
		_ = ts.Exec("bulkhead", "rm", "-f", name) // most scripts removed it
	})
}
