//go:build linux

package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/bulkhead-dev/bulkhead/internal/fault"
	"github.com/bulkhead-dev/bulkhead/sandbox"
)

// Account is a user of an image.
type Account struct {
	User sandbox.User
	// Home is the home folder that the image names for the user; empty: none.
	Home string
}

// Account finds a user as docker writes it: NAME or UID, with :GROUP or :GID or
// without. A number needs no entry in the image; its group is then 0. An empty
// text is User, whatever the image says: in docker it is root.
func (i *Image) Account(text string) (Account, error) {
	users, err := readAccounts(filepath.Join(i.dir, "passwd"))
	if err != nil {
		return Account{}, err
	}
	if text == "" {
		a := Account{User: User()}
		if e, ok := findID(users, a.User.UID); ok {
			a.Home = e.home()
		}
		return a, nil
	}
	name, group, hasGroup := strings.Cut(text, ":")
	uid, numeric := parseID(name)
	var a Account
	switch e, ok := findText(users, name); {
	case ok:
		a = Account{User: sandbox.User{UID: e.id, GID: e.group()}, Home: e.home()}
	case numeric:
		a.User.UID = uid
	case name == "root":
		a.Home = "/root"
	default:
		return a, fault.WithHint(fmt.Errorf("the image has no user %q", name), "give a number: --user UID[:GID]")
	}
	if !hasGroup {
		return a, nil
	}
	groups, err := readAccounts(filepath.Join(i.dir, "group"))
	if err != nil {
		return a, err
	}
	gid, numeric := parseID(group)
	switch e, ok := findText(groups, group); {
	case ok:
		a.User.GID = e.id
	case numeric:
		a.User.GID = gid
	default:
		return a, fault.WithHint(fmt.Errorf("the image has no group %q", group), "give a number: --user UID:GID")
	}
	return a, nil
}

func parseID(text string) (uint32, bool) {
	n, err := strconv.ParseUint(text, 10, 31)
	return uint32(n), err == nil
}

// accountLine is a line of passwd or group: name, password, number, and the rest.
type accountLine struct {
	name string
	id   uint32
	rest []string
}

func (l accountLine) group() uint32 {
	if len(l.rest) == 0 {
		return 0
	}
	gid, _ := parseID(l.rest[0])
	return gid
}

func (l accountLine) home() string {
	if len(l.rest) < 3 || !filepath.IsAbs(l.rest[2]) {
		return ""
	}
	return filepath.Clean(l.rest[2])
}

// findText finds an entry by its name or, of a number, by that.
func findText(lines []accountLine, text string) (accountLine, bool) {
	for _, l := range lines {
		if l.name == text {
			return l, true
		}
	}
	id, ok := parseID(text)
	if !ok {
		return accountLine{}, false
	}
	return findID(lines, id)
}

func findID(lines []accountLine, id uint32) (accountLine, bool) {
	for _, l := range lines {
		if l.id == id {
			return l, true
		}
	}
	return accountLine{}, false
}

// maxAccountFile bounds passwd and group. What is beyond is not read.
const maxAccountFile = 1 << 20

// keepAccounts copies passwd and group of an image beside its root, which may
// become a form that the host does not read.
func keepAccounts(root *os.Root, dir string) error {
	for _, name := range []string{"passwd", "group"} {
		in, err := root.Open("etc/" + name)
		if err != nil {
			continue // it has none, or none that a process inside would find there
		}
		text, err := io.ReadAll(io.LimitReader(in, maxAccountFile))
		if in.Close(); err != nil {
			continue // a folder
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// readAccounts reads passwd or group. Lines of another form are none.
func readAccounts(path string) ([]accountLine, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []accountLine
	for line := range strings.Lines(string(text)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), ":")
		if len(fields) < 3 {
			continue
		}
		if id, ok := parseID(fields[2]); ok {
			out = append(out, accountLine{fields[0], id, fields[3:]})
		}
	}
	return out, nil
}
