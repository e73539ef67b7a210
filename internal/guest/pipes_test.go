package guest

import (
	"io"
	"os"
	"testing"
)

// TestSparePipes: the spare pipes are given to one command, and the next one
// gets others, spare or not.
func TestSparePipes(t *testing.T) {
	spare := newSparePipes()
	spare.fill()
	before := openFiles(t)
	spare.fill()
	if got := openFiles(t); got != before {
		t.Errorf("filled twice: %d open files, want %d", got, before)
	}
	first, err := spare.take()
	if err != nil {
		t.Fatal(err)
	}
	defer first.close()
	if got := openFiles(t); got != before {
		t.Errorf("the spare pipes were not taken: %d open files, want %d", got, before)
	}
	second, err := spare.take()
	if err != nil {
		t.Fatal(err)
	}
	defer second.close()
	for text, p := range map[string]outputPipe{"1": first.stdout, "2": first.stderr, "3": second.stdout, "4": second.stderr} {
		if _, err := p.to.WriteString(text); err != nil {
			t.Fatal(err)
		}
		_ = p.to.Close()
	}
	for text, p := range map[string]outputPipe{"1": first.stdout, "2": first.stderr, "3": second.stdout, "4": second.stderr} {
		if got, err := io.ReadAll(p.from); err != nil || string(got) != text {
			t.Errorf("read %q, %v; want %q", got, err, text)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
