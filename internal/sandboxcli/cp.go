//go:build linux

package sandboxcli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/archive"
	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/internal/printable"
)

// maxCopied is how many files one copy out of a sandbox makes at most.
const maxCopied = 1_000_000

func newCp(s console.Streams) *cobra.Command {
	var maxSize, container string
	cmd := &cobra.Command{
		Use:   "cp [flags] SRC NAME:DST | NAME:SRC DST",
		Short: "Copy files into or out of a named sandbox",
		Long: `Copy a file or a folder. When DST is a folder, the copy is made in it;
otherwise it is made as DST, whose folder has to be there.

What comes out of a sandbox is unpacked within DST and within limits. Links that
lead out of it and what is neither a file, a folder nor a link are left out and
told; special permission bits are dropped.

In a pod (run -f --detach) the place is one container's: see "bulkhead exec".`,
		Example:           "  bulkhead cp ./job.py dev:/tmp\n  bulkhead cp dev:/tmp/result ./result\n  bulkhead cp -c web pod:/tmp/result .",
		ValidArgsFunction: completeNames(true),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return console.UsageError(errors.New("cp needs a source and a destination"), "bulkhead cp ./job.py dev:/tmp")
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			from, to := parsePlace(args[0]), parsePlace(args[1])
			switch {
			case from.sandbox == "" && to.sandbox != "":
				return copyIn(ctx, s, container, from.path, to)
			case from.sandbox != "" && to.sandbox == "":
				size, err := quantity(maxSize)
				if err != nil || size <= 0 {
					return console.UsageError(fmt.Errorf("%q is not a size", maxSize), "write 500Mi, 10Gi or a number of bytes")
				}
				return copyOut(ctx, s, container, from, to.path, size)
			}
			return console.UsageError(errors.New("one of source and destination is in a sandbox, written NAME:PATH"), "a path of this machine with a colon in it starts with / or ./")
		},
	}
	containerFlag(cmd, &container, "container of a pod to copy into or out of")
	cmd.Flags().StringVar(&maxSize, "max-size", "4Gi", "most bytes that are taken out of a sandbox")
	return cmd
}

// place is a path here or in a sandbox.
type place struct{ sandbox, path string }

func parsePlace(text string) place {
	name, path, ok := strings.Cut(text, ":")
	if !ok || strings.ContainsAny(name, "/.") || name == "" {
		return place{path: text}
	}
	return place{sandbox: name, path: path}
}

func copyIn(ctx context.Context, s console.Streams, container, from string, to place) error {
	l, err := lend(ctx, s, to.sandbox, container)
	if err != nil {
		return err
	}
	source, err := filepath.Abs(from)
	if err == nil {
		source, err = filepath.EvalSymlinks(source)
	}
	if err != nil {
		return console.UsageError(fmt.Errorf("copying %s: %w", from, err), "name a file or folder that exists")
	}
	client := l.client()
	defer client.Close()
	read, write := io.Pipe()
	packed := make(chan []string, 1)
	go func() {
		skipped, err := archive.Pack(write, source)
		_ = write.CloseWithError(err)
		packed <- skipped
	}()
	err = client.Upload(ctx, to.path, filepath.Base(from), read)
	_ = read.Close()
	tellSkipped(s, <-packed)
	return err
}

func copyOut(ctx context.Context, s console.Streams, container string, from place, to string, limit int64) error {
	l, err := lend(ctx, s, from.sandbox, container)
	if err != nil {
		return err
	}
	if info, err := os.Stat(to); err == nil && info.IsDir() {
		base := filepath.Base(filepath.Clean("/" + from.path))
		if base == "/" {
			return console.UsageError(errors.New("the root of a sandbox is not copied as a whole"), "name a folder in it")
		}
		to = filepath.Join(to, base)
	}
	client := l.client()
	defer client.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // before the stream is closed: it may have no end
	stream, err := client.Download(ctx, from.path)
	if err != nil {
		return err
	}
	skipped, err := archive.Unpack(stream, to, archive.Limits{Bytes: limit, Entries: maxCopied})
	cancel()
	_ = stream.Close()
	tellSkipped(s, skipped)
	if errors.Is(err, archive.ErrLimit) {
		err = fault.WithHint(err, "what was copied so far is there; --max-size takes more bytes")
	}
	return err
}

func tellSkipped(s console.Streams, skipped []string) {
	for _, what := range skipped {
		fmt.Fprintf(s.Err, "bulkhead: left out: %s\n", printable.Lines(what))
	}
}

// quantity reads bytes as Kubernetes writes them: 500Mi is binary, 500M decimal.
func quantity(text string) (int64, error) {
	if strings.ContainsAny(text, "bB ") {
		return 0, fmt.Errorf("%q has a unit that Kubernetes does not know", text)
	}
	if binary, ok := strings.CutSuffix(text, "i"); ok {
		return units.RAMInBytes(binary)
	}
	return units.FromHumanSize(text)
}
