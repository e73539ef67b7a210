package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var plenty = Limits{Bytes: 1 << 20, Entries: 100}

// stream makes a tar of headers; a regular file's content is its link name.
func stream(t testing.TB, headers ...tar.Header) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := ""
		if h.Typeflag == tar.TypeReg {
			content, h.Linkname = h.Linkname, ""
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	return &b
}

func TestRoundTrip(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "copy")
	for _, err := range []error{
		os.MkdirAll(filepath.Join(from, "a", "b"), 0o755),
		os.WriteFile(filepath.Join(from, "a", "run.sh"), []byte("#!/bin/sh\n"), 0o755),
		os.WriteFile(filepath.Join(from, "a", "b", "empty"), nil, 0o600),
		os.Symlink("run.sh", filepath.Join(from, "a", "link")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	if skipped, err := Pack(&b, from); err != nil || skipped != nil {
		t.Fatal(skipped, err)
	}
	if skipped, err := Unpack(&b, to, plenty); err != nil || skipped != nil {
		t.Fatal(skipped, err)
	}
	if data, err := os.ReadFile(filepath.Join(to, "a", "link")); err != nil || string(data) != "#!/bin/sh\n" {
		t.Errorf("%q, %v", data, err)
	}
	if info, err := os.Stat(filepath.Join(to, "a", "run.sh")); err != nil || info.Mode() != 0o755 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	// One file, over a file that is there.
	b.Reset()
	if _, err := Pack(&b, filepath.Join(from, "a", "run.sh")); err != nil {
		t.Fatal(err)
	}
	if _, err := Unpack(&b, filepath.Join(to, "a", "b", "empty"), plenty); err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(filepath.Join(to, "a", "b", "empty")); string(data) != "#!/bin/sh\n" {
		t.Errorf("%q", data)
	}
}

// TestHostile: whatever a stream holds, nothing outside of the folder changes.
func TestHostile(t *testing.T) {
	dir := tar.Header{Typeflag: tar.TypeDir, Name: ".", Mode: 0o755}
	file := func(name string) tar.Header {
		return tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o4777, Linkname: "content"}
	}
	link := func(name, to string) tar.Header {
		return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: to}
	}
	for _, tt := range []struct {
		name    string
		headers []tar.Header
		skipped int
		fails   bool
	}{
		{"dots", []tar.Header{dir, file("../outside")}, 0, true},
		{"dots inside", []tar.Header{dir, file("a/../../outside")}, 0, true},
		{"absolute", []tar.Header{dir, file("/outside")}, 0, true},
		{"link out", []tar.Header{dir, link("l", "../outside")}, 1, false},
		{"absolute link", []tar.Header{dir, link("l", "/etc/passwd")}, 1, false},
		{"through a link out", []tar.Header{dir, link("l", ".."), file("l/outside")}, 1, true}, // l is no folder
		{"through a link in two steps", []tar.Header{dir, {Typeflag: tar.TypeDir, Name: "d", Mode: 0o755}, link("d/l", ".."), link("m", "d/l/.."), file("m/outside")}, 1, true},
		{"a link behind a link", []tar.Header{dir, {Typeflag: tar.TypeDir, Name: "a", Mode: 0o755}, {Typeflag: tar.TypeDir, Name: "a/b", Mode: 0o755}, link("a/b/s", "../.."), link("a/b/s/x", "../../..")}, 0, true},
		{"through the user's own link", []tar.Header{dir, file("own/outside")}, 0, true},
		{"over the user's own link", []tar.Header{dir, file("own")}, 0, false},
		{"hard link", []tar.Header{dir, {Typeflag: tar.TypeLink, Name: "h", Linkname: "../victim"}}, 1, false},
		{"device", []tar.Header{dir, {Typeflag: tar.TypeChar, Name: "d", Devmajor: 1, Devminor: 3}, {Typeflag: tar.TypeFifo, Name: "p"}}, 2, false},
		{"no top", []tar.Header{file("a")}, 0, true},
		{"a second top", []tar.Header{dir, dir}, 0, true},
		{"below a file", []tar.Header{{Typeflag: tar.TypeReg, Name: ".", Linkname: "x"}, file("a")}, 0, true},
		{"nothing", nil, 0, true},
		{"too deep", []tar.Header{dir, file(strings.Repeat("a/", 200) + "f")}, 0, true},
		{"too many bytes", []tar.Header{dir, {Typeflag: tar.TypeReg, Name: "big", Linkname: strings.Repeat("x", 2<<20)}}, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			parent := t.TempDir()
			victim, dst := filepath.Join(parent, "victim"), filepath.Join(parent, "dst")
			for _, err := range []error{os.WriteFile(victim, []byte("safe"), 0o600), os.Mkdir(dst, 0o755), os.Symlink(parent, filepath.Join(dst, "own"))} {
				if err != nil {
					t.Fatal(err)
				}
			}
			skipped, err := Unpack(stream(t, tt.headers...), dst, plenty)
			if (err != nil) != tt.fails || len(skipped) != tt.skipped {
				t.Errorf("skipped %q, error %v", skipped, err)
			}
			entries, _ := os.ReadDir(parent)
			if data, _ := os.ReadFile(victim); len(entries) != 2 || string(data) != "safe" {
				t.Errorf("outside: %v, %q", entries, data)
			}
			_ = filepath.WalkDir(dst, func(path string, d fs.DirEntry, _ error) error {
				if to, err := filepath.EvalSymlinks(path); err == nil && !strings.HasPrefix(to, dst) && d.Name() != "own" {
					t.Errorf("%s leads to %s", path, to)
				}
				if info, err := d.Info(); err == nil && info.Mode()&(fs.ModeSetuid|fs.ModeDevice|fs.ModeNamedPipe) != 0 {
					t.Errorf("%s: %s", path, info.Mode())
				}
				return nil
			})
		})
	}
}

func TestLimits(t *testing.T) {
	headers := []tar.Header{{Typeflag: tar.TypeDir, Name: ".", Mode: 0o755}}
	for _, name := range []string{"a", "b", "c"} {
		headers = append(headers, tar.Header{Typeflag: tar.TypeReg, Name: name, Linkname: "1234"})
	}
	for _, l := range []Limits{{Bytes: 11, Entries: 4}, {Bytes: 12, Entries: 3}} {
		if _, err := Unpack(stream(t, headers...), filepath.Join(t.TempDir(), "x"), l); !errors.Is(err, ErrLimit) {
			t.Errorf("%+v: %v", l, err)
		}
	}
	if _, err := Unpack(stream(t, headers...), filepath.Join(t.TempDir(), "x"), Limits{Bytes: 12, Entries: 4}); err != nil {
		t.Error(err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(stream(f, tar.Header{Typeflag: tar.TypeDir, Name: "."}, tar.Header{Typeflag: tar.TypeSymlink, Name: "l", Linkname: ".."}, tar.Header{Typeflag: tar.TypeReg, Name: "l/a", Linkname: "x"}).Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		parent := t.TempDir()
		_, _ = Unpack(bytes.NewReader(data), filepath.Join(parent, "dst"), plenty)
		entries, err := os.ReadDir(parent)
		if err != nil || len(entries) > 1 || len(entries) == 1 && entries[0].Name() != "dst" {
			t.Errorf("outside: %v, %v", entries, err)
		}
	})
}
