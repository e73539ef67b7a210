// Command cluster-api keeps one real API server for tests by hand: `up` starts
// it (and builds it, once) and prints the shell lines that use it, `down` ends it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/bulkhead-dev/bulkhead/test/cluster/apiserver"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster-api:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	dir := filepath.Join(cache, "bulkhead-test", "cluster-api")
	if len(args) != 1 || args[0] != "up" && args[0] != "down" {
		return errors.New("usage: cluster-api up|down")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	// Two at the same time would write over each other's tokens.
	unlock, err := apiserver.Lock(dir + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if err := apiserver.StopIn(dir); err != nil || args[0] == "down" {
		return err
	}
	bin, err := apiserver.Build(ctx, os.Stderr)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	s, err := apiserver.Start(ctx, bin, dir)
	if err != nil {
		return err
	}
	fmt.Printf("export KUBECONFIG=%s PATH=%s:$PATH\n", s.Kubeconfig(), bin)
	return nil
}
