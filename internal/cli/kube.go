package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/internal/kubewire"
	"github.com/bulkhead-dev/bulkhead/internal/version"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// What one run of bulkhead-kube may cost. A chart of hundreds of objects renders
// in well under a second to well under a megabyte.
const (
	renderMemory = 1 << 30 // bytes; what is past it dies
	renderOutput = 64 << 20
	// stderrKept is how much of its messages is looked at.
	stderrKept = 64 << 10
)

// kube runs bulkhead-kube, which has the Kubernetes machinery.
type kube struct {
	limits  manifest.Limits
	timeout time.Duration // of one chart or kustomization
	render  []string      // further arguments of render
	remote  bool          // kustomizations may have resources from the network
}

const companionHint = "install bulkhead-kube beside bulkhead or on PATH: it comes in the same archive"

// unit renders a chart or kustomization in a process of its own, with limits.
func (k kube) unit(ctx context.Context, u manifest.Unit) manifest.Batch {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	args := append([]string{"render", string(u.Form), u.Path, fmt.Sprintf("--memory=%d", renderMemory)}, k.render...)
	env := []string{"TMPDIR=" + os.TempDir()}
	if k.remote {
		env = os.Environ()
	}
	batch, err := k.run(ctx, args, env, renderOutput)
	if err != nil {
		e := &manifest.Error{File: u.Path, Reason: fmt.Sprintf("rendering the %s: %v", u.Form, err), Hint: "render it yourself and pipe that in: bulkhead check -"}
		if errors.Is(err, errNoCompanion) {
			e.Hint = companionHint
		}
		batch.Errors = append(batch.Errors, e)
	}
	return batch
}

var errNoCompanion = errors.New("bulkhead-kube is not there")

// run starts bulkhead-kube and reads the manifests that it writes; an error is
// one of the process, beside those in the batch.
func (k kube) run(ctx context.Context, args, env []string, limit int64) (manifest.Batch, error) {
	var batch manifest.Batch
	exe := console.Companion("bulkhead-kube")
	if exe == "" {
		return batch, errNoCompanion
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, args...)
	cmd.Env = env
	cmd.WaitDelay = time.Second // for what it may have started
	stderr := &head{limit: stderrKept}
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return batch, fmt.Errorf("starting bulkhead-kube: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return batch, fmt.Errorf("starting bulkhead-kube: %w", err)
	}
	readErr := kubewire.Read(out, limit, version.String(), func(f kubewire.Frame) error {
		k.frame(&batch, f)
		return nil
	})
	if readErr != nil && !errors.Is(readErr, kubewire.ErrEndedEarly) {
		cancel() // nothing more of it is wanted
	}
	waitErr := cmd.Wait()
	switch {
	case readErr == nil:
		return batch, nil
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return batch, fmt.Errorf("it took longer than %s", k.timeout)
	case errors.Is(readErr, kubewire.ErrTooMuch):
		return batch, fmt.Errorf("it came to more than %d MiB", limit>>20)
	case ranOut(stderr.String()):
		return batch, fmt.Errorf("it needed more than %d MiB of memory", renderMemory>>20)
	case !errors.Is(readErr, kubewire.ErrEndedEarly):
		return batch, fmt.Errorf("bulkhead-kube: %w", readErr)
	}
	if waitErr == nil {
		waitErr = readErr
	}
	reason, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
	return batch, fmt.Errorf("bulkhead-kube: %w: %s", waitErr, strings.TrimPrefix(reason, "bulkhead-kube: "))
}

// ranOut says whether Go's runtime ended for want of memory. The limit is one of
// addresses, so the stack of a new thread can be what no longer fits.
func ranOut(stderr string) bool {
	for _, sign := range []string{"out of memory", "failed to create new OS thread", "pthread_create failed"} {
		if strings.Contains(stderr, sign) {
			return true
		}
	}
	return false
}

// frame adds what a frame has to the batch.
func (k kube) frame(batch *manifest.Batch, f kubewire.Frame) {
	if f.Problem != nil {
		reason := shortened(strings.Join(strings.Fields(f.Problem.Reason), " "))
		batch.Errors = append(batch.Errors, &manifest.Error{File: f.Problem.File, Reason: reason, Hint: f.Problem.Hint})
	}
	if f.Manifest != nil {
		read := manifest.Read(f.Manifest.File, strings.NewReader(f.Manifest.Text), k.limits)
		batch.Objects = append(batch.Objects, read.Objects...)
		batch.Errors = append(batch.Errors, read.Errors...)
	}
}

// maxReason bounds, in characters, what an engine says of its input: a template
// that includes itself is named once for each time.
const maxReason = 1000

// shortened takes the middle out of a long text: what failed stands at its
// beginning, and why at its end.
func shortened(text string) string {
	r := []rune(text)
	if len(r) <= maxReason {
		return text
	}
	return string(r[:maxReason/2]) + " ... " + string(r[len(r)-maxReason/2:])
}

// head keeps the first bytes of what is written to it.
type head struct {
	bytes.Buffer
	limit int
}

func (h *head) Write(p []byte) (int, error) {
	if room := h.limit - h.Len(); room > 0 {
		h.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
