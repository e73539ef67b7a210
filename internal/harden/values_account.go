package harden

import (
	"strings"

	"github.com/bulkhead-dev/bulkhead/manifest"
)

// Places of an account in a flattened object.
const (
	accountField = ".serviceAccountName"
	tokenField   = ".automountServiceAccountToken"
	accountKind  = "ServiceAccount "
)

// ofAccount are values that give the pods of a chart an account of their own, for a
// key that says whether there is one and what it is called.
func (s *Search) ofAccount(at manifest.Path, keys map[string]any) []Value {
	if keys["create"] != "scalar" || keys["name"] != "scalar" {
		return nil
	}
	var out []Value
	for _, key := range sorted(s.wanted) {
		if name := decoded(s.wanted[key]); strings.HasSuffix(key, accountField) && name != nil {
			out = add(out, Value{Path: at, Value: map[string]any{"create": true, "name": name}})
		}
	}
	return out
}

// wantAccount reports whether something about a ServiceAccount is wanted: that it is
// there, where pods are to have one of that name, and that none of its pods gets a
// token, where no pod of the chart that has it keeps its own.
func (s *Search) wantAccount(object, field, value string) bool {
	name, _, _ := strings.Cut(strings.TrimPrefix(object, accountKind), " ")
	if _, there := s.base[object+"\x00.kind"]; !there {
		return s.hasAccount(s.wanted, name) != nil && (field != tokenField || value == "false")
	}
	users := s.hasAccount(s.base, name)
	for _, pod := range users {
		if s.wanted[pod+tokenField] != "false" && s.base[pod+tokenField] != "false" {
			return false
		}
	}
	return field == tokenField && value == "false" && len(users) > 0
}

// hasAccount returns the places of the pods that have an account.
func (s *Search) hasAccount(leaves map[string]string, name string) []string {
	var out []string
	for key, value := range leaves {
		if pod, ok := strings.CutSuffix(key, accountField); ok && decoded(value) == name {
			out = append(out, pod)
		}
	}
	return out
}

// withoutAccounts are the places of wanted accounts that values name and do not
// make: their pods would not start.
func (s *Search) withoutAccounts(got map[string]string) map[string]bool {
	out := map[string]bool{}
	for key, value := range got {
		name, _ := decoded(value).(string)
		if !strings.HasSuffix(key, accountField) || name == "" {
			continue
		}
		made := false
		for other := range got {
			object, field, _ := strings.Cut(other, "\x00")
			other, _, _ := strings.Cut(strings.TrimPrefix(object, accountKind), " ")
			made = made || strings.HasPrefix(object, accountKind) && field == ".kind" && other == name
		}
		if !made {
			out[key] = true
		}
	}
	return out
}
