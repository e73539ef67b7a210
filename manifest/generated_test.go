package manifest

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/internal/gosource"
)

var update = flag.Bool("update", false, "write what is generated anew")

// TestGenerated writes (-update) or compares what is generated from kinds.yaml,
// and holds that nothing is lost on the way.
func TestGenerated(t *testing.T) {
	text, err := os.ReadFile("kinds.yaml")
	if err != nil {
		t.Fatal(err)
	}
	source, err := ParseKinds(text)
	if err != nil {
		t.Fatal(err)
	}
	want, err := gosource.Function("manifest", "builtinKinds", source)
	if err != nil {
		t.Fatal(err)
	}
	const name = "builtin_kinds.go"
	if *update {
		if err := os.WriteFile(name, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return // what was compiled in is the old one
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is stale: run `make generate` (-kinds.yaml +file)\n%s", name, diff)
	}
	if diff := cmp.Diff(source, builtinKinds()); diff != "" {
		t.Errorf("the built-in kinds are not those of kinds.yaml (-want +got):\n%s", diff)
	}
}
