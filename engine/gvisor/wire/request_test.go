package wire

import (
	"strings"
	"testing"
)

func TestParseRequest(t *testing.T) {
	r, err := ParseRequest([]byte(`{"kind":"join","container":"web"}`))
	if err != nil || r != (Request{Kind: Join, Container: "web"}) || r.Files() != 2 {
		t.Errorf("%+v, %v", r, err)
	}
	for _, text := range []string{
		"", "{}", "null", `{"kind":"join"}`, `{"kind":"join","container":"../web"}`, `{"kind":"boot","container":"web"}`,
		`{"kind":"end","container":"web","more":1}`, `{"kind":"end","container":"web"}{}`, `{"kind":"end","container":"web"}` + strings.Repeat(" ", MaxRequest),
	} {
		if r, err := ParseRequest([]byte(text)); err == nil {
			t.Errorf("%q was taken: %+v", text, r)
		}
	}
}

// FuzzParseRequest: whatever is taken names a container that a path can hold.
func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"kind":"join","container":"web"}`))
	f.Add([]byte(`{"kind":"end","container":"a/../b"}`))
	f.Fuzz(func(t *testing.T, message []byte) {
		r, err := ParseRequest(message)
		if err == nil && (strings.ContainsAny(r.Container, "/.") || r.Container == "") {
			t.Errorf("%q names %q", message, r.Container)
		}
	})
}
