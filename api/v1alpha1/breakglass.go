package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BreakGlassKind is the kind of a BreakGlass.
const BreakGlassKind = "BreakGlass"

const (
	// BreakGlassName is the name of every BreakGlass: a namespace has one, or none.
	BreakGlassName = "break-glass"
	// OpenVerb, on breakglasses, is the right to create one.
	OpenVerb = "open"
	// MaxBreakGlass is how long one lasts at most.
	MaxBreakGlass = 24 * time.Hour
)

// BreakGlass lets pods of its namespace past every IsolationPolicy, until a
// moment, where they carry the label bulkhead.dev/break-glass. To create one
// takes the verb open on breakglasses; deleting it ends it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Namespaced,path=breakglasses,categories=bulkhead
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.spec.expires`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'break-glass'",message="it is named break-glass: a namespace has one"
type BreakGlass struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is why, and until when.
	Spec BreakGlassSpec `json:"spec"`
}

// BreakGlassList is a list of them.
//
// +kubebuilder:object:root=true
type BreakGlassList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []BreakGlass `json:"items"`
}

// BreakGlassSpec is why, and until when. It cannot be changed: make a new one.
//
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="it cannot be changed: delete it and make a new one"
type BreakGlassSpec struct {
	// Expires is the moment from which it does not hold any more, 24 hours after
	// its creation at most.
	Expires metav1.Time `json:"expires"`
	// Reason is why.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason"`
	// Ticket is where it is followed up.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Ticket string `json:"ticket,omitempty"`
}
