package v1alpha1

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
)

// Read decodes an IsolationPolicy from the values of a manifest, with defaults
// set. It is strict: a field that is not known is an error, because a misspelt
// floor must not pass for one that holds. The errors name the fields, all of
// them; the policy is of use only where there are none.
func Read(object map[string]any) (*IsolationPolicy, field.ErrorList) {
	text, err := json.Marshal(object)
	if err != nil {
		return nil, field.ErrorList{field.InternalError(nil, err)}
	}
	var p IsolationPolicy
	strict, err := kjson.UnmarshalStrict(text, &p)
	if err != nil {
		return nil, field.ErrorList{typeError(err)}
	}
	var errs field.ErrorList
	for _, err := range strict {
		errs = append(errs, unknownField(err))
	}
	p.Default()
	return &p, append(errs, p.Validate()...)
}

// quotedField is the field in an error such as `unknown field "spec.floor"`.
var quotedField = regexp.MustCompile(`^(?:unknown|duplicate) field "(.+)"$`)

func unknownField(err error) *field.Error {
	if m := quotedField.FindStringSubmatch(err.Error()); m != nil {
		return &field.Error{Type: field.ErrorTypeForbidden, Field: m[1], Detail: "there is no such field"}
	}
	return &field.Error{Type: field.ErrorTypeForbidden, Detail: err.Error()}
}

// wrongType is an error of the decoder about a value of another type.
var wrongType = regexp.MustCompile(`^json: cannot unmarshal (\S+) into Go struct field \S+?\.((?:[a-z]\w*\.)*[a-z]\w*) of type (\S+)$`)

func typeError(err error) *field.Error {
	if m := wrongType.FindStringSubmatch(err.Error()); m != nil {
		return &field.Error{Type: field.ErrorTypeTypeInvalid, Field: m[2], BadValue: field.OmitValueType{}, Detail: fmt.Sprintf("a %s is not what belongs here", m[1])}
	}
	return &field.Error{Type: field.ErrorTypeTypeInvalid, BadValue: field.OmitValueType{}, Detail: err.Error()}
}

// Default sets what the schema's defaults set. It is idempotent.
func (p *IsolationPolicy) Default() {
	s := &p.Spec
	setDefault(&s.Baseline, BaselineEnforce)
	setDefault(&s.Undeclared.Mode, Evidence)
	setDefault(&s.Undeclared.Floor, "shared-kernel")
	setDefault(&s.Unknown, "code-execution")
	for i := range s.RuntimeClasses {
		if s.RuntimeClasses[i].Manage == nil {
			s.RuntimeClasses[i].Manage = new(true)
		}
	}
	for i := range s.Egress {
		s.Egress[i].Peers = slices.Clone(s.Egress[i].Peers)
		for k := range s.Egress[i].Peers {
			setDefault(&s.Egress[i].Peers[k].Protocol, "TCP")
		}
	}
}

func setDefault[T ~string](v *T, to T) {
	if *v == "" {
		*v = to
	}
}
