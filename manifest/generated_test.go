package manifest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
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
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(source); err != nil {
		t.Fatal(err)
	}
	const name = "kinds.json"
	if *update {
		if err := os.WriteFile(name, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return // what was compiled in is the old one
	}
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), string(got)); diff != "" {
		t.Errorf("%s is stale: run `make generate` (-kinds.yaml +file)\n%s", name, diff)
	}
	builtin, err := builtinKinds()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(source, builtin); diff != "" {
		t.Errorf("the built-in kinds are not those of kinds.yaml (-want +got):\n%s", diff)
	}
}
