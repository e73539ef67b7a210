//go:build linux

package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bulkhead-dev/bulkhead/image/imagetest"
)

// unpackAll applies layers to a new folder, beside which a file stands that no
// layer may touch.
func unpackAll(t testing.TB, layers ...[]byte) (dir string, err error) {
	t.Helper()
	base := t.TempDir()
	secret := filepath.Join(base, "secret")
	if err := os.WriteFile(secret, []byte("untouched"), 0o644); err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(base, "root")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	u, err := newUnpacker(dir, limits{entries: 100, bytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer u.close()
	u.owners = false
	for _, l := range layers {
		if err = u.layer(bytes.NewReader(l), 1<<19); err != nil {
			break
		}
	}
	if got, err := os.ReadFile(secret); string(got) != "untouched" {
		t.Errorf("a file outside was written: %q, %v", got, err)
	}
	if names, err := os.ReadDir(base); len(names) != 2 {
		t.Errorf("something was made outside: %v, %v", names, err)
	}
	return dir, err
}

// tree lists what is in a folder: name, kind, and content or target.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == dir {
			return err
		}
		rel, _ := filepath.Rel(dir, name)
		switch {
		case d.IsDir():
			rel += "/"
		case d.Type()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(name)
			rel += " -> " + to
		default:
			content, _ := os.ReadFile(name)
			rel += "=" + string(content)
		}
		out = append(out, rel)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLayers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		layers [][]imagetest.Entry
		want   []string
	}{
		{"files", [][]imagetest.Entry{{imagetest.Folder("a/", 0o755), imagetest.File("a/b", "1"), imagetest.File("./c", "2"), imagetest.File("/d", "3")}}, []string{"a/", "a/b=1", "c=2", "d=3"}},
		{"folders that no entry makes", [][]imagetest.Entry{{imagetest.File("a/b/c", "1")}}, []string{"a/", "a/b/", "a/b/c=1"}},
		{"a later layer replaces", [][]imagetest.Entry{{imagetest.File("a", "1"), imagetest.Folder("b", 0o755), imagetest.File("b/c", "1")}, {imagetest.Folder("a", 0o755), imagetest.File("b", "2")}}, []string{"a/", "b=2"}},
		{"a whiteout", [][]imagetest.Entry{{imagetest.File("a/b", "1"), imagetest.File("a/c", "1")}, {imagetest.File("a/.wh.b", "")}}, []string{"a/", "a/c=1"}},
		{"a whiteout of a folder", [][]imagetest.Entry{{imagetest.File("a/b/c", "1")}, {imagetest.File("a/.wh.b", "")}}, []string{"a/"}},
		{"a whiteout spares its own layer", [][]imagetest.Entry{{imagetest.File("a/b", "1"), imagetest.File("a/old", "1")}, {imagetest.File("a/b", "2"), imagetest.File("a/.wh.b", ""), imagetest.File("a/c", "3"), imagetest.File(".wh.a", "")}}, []string{"a/", "a/b=2", "a/c=3"}},
		{"an opaque folder", [][]imagetest.Entry{{imagetest.File("a/b", "1"), imagetest.File("a/c/d", "1")}, {imagetest.File("a/e", "2"), imagetest.File("a/.wh..wh..opq", "")}}, []string{"a/", "a/e=2"}},
		{"an opaque folder first", [][]imagetest.Entry{{imagetest.File("a/b", "1")}, {imagetest.File("a/.wh..wh..opq", ""), imagetest.File("a/e", "2")}}, []string{"a/", "a/e=2"}},
		{"a whiteout of what is not there", [][]imagetest.Entry{{imagetest.File("x/.wh.y", ""), imagetest.File("z/.wh..wh..opq", "")}}, nil},
		{"aufs's own", [][]imagetest.Entry{{imagetest.File(".wh..wh.plnk", ""), imagetest.File("a", "1")}}, []string{"a=1"}},
		{"links lead anywhere", [][]imagetest.Entry{{imagetest.Link(tar.TypeSymlink, "a", "/etc/passwd"), imagetest.Link(tar.TypeSymlink, "b", "../../../secret"), imagetest.Link(tar.TypeSymlink, "c", "nowhere")}}, []string{"a -> /etc/passwd", "b -> ../../../secret", "c -> nowhere"}},
		{"a linked folder is followed inside", [][]imagetest.Entry{{imagetest.Folder("usr/bin", 0o755), imagetest.Link(tar.TypeSymlink, "bin", "usr/bin")}, {imagetest.File("bin/sh", "1")}}, []string{"bin -> usr/bin", "usr/", "usr/bin/", "usr/bin/sh=1"}},
		{"as is an absolute link", [][]imagetest.Entry{{imagetest.Link(tar.TypeSymlink, "bin", "/usr/bin")}, {imagetest.File("bin/sh", "1")}}, []string{"bin -> /usr/bin", "usr/", "usr/bin/", "usr/bin/sh=1"}},
		{"and one that climbs", [][]imagetest.Entry{{imagetest.Link(tar.TypeSymlink, "up", "../../..")}, {imagetest.File("up/secret", "1")}}, []string{"secret=1", "up -> ../../.."}},
		{"a file replaces a link, not its target", [][]imagetest.Entry{{imagetest.File("a", "1"), imagetest.Link(tar.TypeSymlink, "b", "a"), imagetest.Link(tar.TypeSymlink, "c", "/../secret")}, {imagetest.File("b", "2"), imagetest.File("c", "3")}}, []string{"a=1", "b=2", "c=3"}},
		{"a folder replaces a link", [][]imagetest.Entry{{imagetest.File("a/x", "1"), imagetest.Link(tar.TypeSymlink, "b", "a")}, {imagetest.Folder("b", 0o755)}}, []string{"a/", "a/x=1", "b/"}},
		{"a hard link", [][]imagetest.Entry{{imagetest.File("a", "1")}, {imagetest.Link(tar.TypeLink, "d/b", "/a"), imagetest.Link(tar.TypeLink, "a", "a")}}, []string{"a=1", "d/", "d/b=1"}},
		{"a hard link through a linked folder", [][]imagetest.Entry{{imagetest.File("usr/a", "1"), imagetest.Link(tar.TypeSymlink, "u", "usr")}, {imagetest.Link(tar.TypeLink, "b", "u/a")}}, []string{"b=1", "u -> usr", "usr/", "usr/a=1"}},
		{"what is not written", [][]imagetest.Entry{{{Header: tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}}, {Header: tar.Header{Name: "pipe", Typeflag: tar.TypeFifo}}}}, []string{"dev/"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var layers [][]byte
			for _, l := range tt.layers {
				layers = append(layers, imagetest.Layer(t, l...))
			}
			dir, err := unpackAll(t, layers...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, tree(t, dir)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestHostileLayers: what is refused, and why.
func TestHostileLayers(t *testing.T) {
	for _, tt := range []struct {
		name, why string
		entries   []imagetest.Entry
	}{
		{"a name that climbs", "leaves the image", []imagetest.Entry{imagetest.File("../secret", "x")}},
		{"one that would end inside", "leaves the image", []imagetest.Entry{imagetest.File("a/../b", "x")}},
		{"a long name", "no file can have such a name", []imagetest.Entry{imagetest.File(strings.Repeat("a", 5000), "x")}},
		{"a deep name", "no file can have such a name", []imagetest.Entry{imagetest.File(strings.Repeat("a/", 200)+"b", "x")}},
		{"the root as a file", "the root of an image is a folder", []imagetest.Entry{imagetest.Link(tar.TypeSymlink, "./", "/etc")}},
		{"a hard link out", "leaves the image", []imagetest.Entry{imagetest.Link(tar.TypeLink, "a", "../secret")}},
		{"a hard link through a link", "not there", []imagetest.Entry{imagetest.Link(tar.TypeSymlink, "up", "../.."), imagetest.Link(tar.TypeLink, "a", "up/secret")}},
		{"a hard link to nothing", "not there", []imagetest.Entry{imagetest.Link(tar.TypeLink, "a", "missing/b")}},
		{"a hard link to a folder", "to a folder", []imagetest.Entry{imagetest.Folder("d", 0o755), imagetest.Link(tar.TypeLink, "a", "d")}},
		{"a hard link over its target's folder", "in the place of the folder", []imagetest.Entry{imagetest.File("d/a", "x"), imagetest.Link(tar.TypeLink, "d", "d/a")}},
		{"a device node", "device node outside /dev", []imagetest.Entry{{Header: tar.Header{Name: "mem", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 1}}}},
		{"a disk", "device node outside /dev", []imagetest.Entry{{Header: tar.Header{Name: "d/sda", Typeflag: tar.TypeBlock, Devmajor: 8}}}},
		{"an unknown type", "not known", []imagetest.Entry{{Header: tar.Header{Name: "x", Typeflag: 'Z'}}}},
		{"a whiteout of nothing", "whiteout of nothing", []imagetest.Entry{imagetest.File("a/.wh.", "")}},
		{"a whiteout of the folder above", "whiteout of nothing", []imagetest.Entry{imagetest.File("a/.wh...", "")}},
		{"a whiteout of the folder", "whiteout of nothing", []imagetest.Entry{imagetest.File("a/.wh..", "")}},
		{"an owner that does not exist", "no user or group", []imagetest.Entry{{Header: tar.Header{Name: "x", Typeflag: tar.TypeReg, Uid: 1 << 33}}}},
		{"a negative owner", "no user or group", []imagetest.Entry{{Header: tar.Header{Name: "x", Typeflag: tar.TypeReg, Gid: -1, Format: tar.FormatGNU}}}},
		{"too many files", "too many files", slices.Repeat([]imagetest.Entry{imagetest.Folder("d", 0o755)}, 101)},
		{"too much", "to more than 100 times its size", []imagetest.Entry{imagetest.File("a", strings.Repeat("x", 1<<18)), imagetest.File("b", strings.Repeat("x", 1<<18)), imagetest.File("c", "x")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, err := unpackAll(t, imagetest.Layer(t, tt.entries...))
			if !errors.Is(err, ErrHostile) || !strings.Contains(err.Error(), tt.why) {
				t.Errorf("error %v, want one that says %q", err, tt.why)
			}
			if _, err := os.Lstat(filepath.Join(dir, "missing")); err == nil {
				t.Error("a refused entry made folders")
			}
		})
	}
	t.Run("more than the image may have", func(t *testing.T) {
		big := imagetest.Layer(t, imagetest.File("a", strings.Repeat("x", 1<<19)))
		if _, err := unpackAll(t, big, big, imagetest.Layer(t, imagetest.File("b", "x"))); !errors.Is(err, ErrHostile) || !strings.Contains(err.Error(), "larger than the limit") {
			t.Errorf("error %v", err)
		}
	})
	t.Run("a link to itself", func(t *testing.T) {
		if _, err := unpackAll(t, imagetest.Layer(t, imagetest.Link(tar.TypeSymlink, "a", "a"), imagetest.File("a/b", "x"))); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("cut short", func(t *testing.T) {
		whole := imagetest.Layer(t, imagetest.File("a", strings.Repeat("x", 2000)))
		if _, err := unpackAll(t, whole[:1500]); err == nil {
			t.Error("accepted")
		}
	})
}

// sparseLayer is a layer with one sparse file of that size, all of it a hole.
// GNU tar 1.0's form of it: the map stands before the content.
func sparseLayer(t *testing.T, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	block := func(h tar.Header, content string) {
		w := tar.NewWriter(&b)
		h.Size = int64(len(content))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	records := ""
	for _, kv := range []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=hole", fmt.Sprintf("GNU.sparse.realsize=%d", size)} {
		n := len(kv) + 3
		for n != len(fmt.Sprintf("%d %s\n", n, kv)) {
			n = len(fmt.Sprintf("%d %s\n", n, kv))
		}
		records += fmt.Sprintf("%d %s\n", n, kv)
	}
	// archive/tar writes no sparse files: the extended header goes in as a file
	// whose type is changed afterwards.
	block(tar.Header{Name: "pax", Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}, records)
	b.Bytes()[156] = tar.TypeXHeader
	sum := 0
	header := b.Bytes()[:512]
	copy(header[148:156], "        ")
	for _, c := range header {
		sum += int(c)
	}
	copy(header[148:156], fmt.Sprintf("%06o\x00 ", sum))
	sparseMap := fmt.Sprintf("1\n%d\n0\n", size)
	block(tar.Header{Name: "x", Typeflag: tar.TypeReg, Mode: 0o644, Format: tar.FormatUSTAR}, sparseMap+strings.Repeat("\x00", 512-len(sparseMap)))
	b.Write(make([]byte, 1024))
	return b.Bytes()
}

// TestSparse: holes count, because they are written.
func TestSparse(t *testing.T) {
	dir, err := unpackAll(t, sparseLayer(t, 1000))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "hole")); err != nil || info.Size() != 1000 {
		t.Errorf("%v, %v", info, err)
	}
	layer := sparseLayer(t, 1<<40)
	if _, err := unpackAll(t, layer); len(layer) > 4096 || !errors.Is(err, ErrHostile) {
		t.Errorf("%d bytes that say they are a terabyte: %v", len(layer), err)
	}
}

func TestModesAndTimes(t *testing.T) {
	when := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	dir, err := unpackAll(t, imagetest.Layer(t,
		imagetest.Entry{Header: tar.Header{Name: "tmp", Typeflag: tar.TypeDir, Mode: 0o1777}},
		imagetest.Entry{Header: tar.Header{Name: "locked", Typeflag: tar.TypeDir, Mode: 0o000}},
		imagetest.File("locked/in", "x"),
		imagetest.Entry{Header: tar.Header{Name: "su", Typeflag: tar.TypeReg, Mode: 0o6755, ModTime: when}},
		imagetest.Entry{Header: tar.Header{Name: "none", Typeflag: tar.TypeReg, Mode: 0o000}},
	))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{
		"tmp": fs.ModeDir | fs.ModeSticky | 0o777, "locked": fs.ModeDir | 0o700, "su": 0o755, "none": 0o400,
	} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	if info, err := os.Lstat(filepath.Join(dir, "su")); err != nil || !info.ModTime().Equal(when) {
		t.Errorf("time %v, %v", info.ModTime(), err)
	}
}

// FuzzLayer: whatever a layer is, nothing outside its folder changes.
func FuzzLayer(f *testing.F) {
	f.Add(imagetest.Layer(f, imagetest.File("a/b", "x"), imagetest.Link(tar.TypeSymlink, "l", "../.."), imagetest.File("l/secret", "y"), imagetest.Link(tar.TypeLink, "h", "l/secret"), imagetest.File("a/.wh.b", ""), imagetest.File("l/.wh..wh..opq", "")))
	f.Add(imagetest.Layer(f, imagetest.Folder("d", 0o1777), imagetest.File("d", "x"), imagetest.Link(tar.TypeLink, "d", "d/x")))
	f.Fuzz(func(t *testing.T, layer []byte) {
		_, _ = unpackAll(t, layer, layer)
	})
}
