package v1alpha1

// Responsibility is who answers for an exception, and until when.
type Responsibility struct {
	// Owner is the team or person who answers for it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Owner string `json:"owner"`
	// Ticket is where it is followed up.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Ticket string `json:"ticket,omitempty"`
	// Reason is why.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason"`
	// Expires is the last day (UTC) on which it holds, as 2027-06-30.
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`
	// +kubebuilder:validation:Format=date
	Expires string `json:"expires"`
}

// Waiver accepts less for some pods, until a day. It holds only when a pod is
// created, and only where all of the pod's containers are named.
type Waiver struct {
	Responsibility `json:",inline"`

	// Namespace is the one that the pods are in.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// Selector are labels that the pods have.
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	Selector map[string]string `json:"selector"`
	// Containers are the names of all containers that the pods may have.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=63
	Containers []string `json:"containers"`
	// Allows is what is accepted.
	Allows Allowance `json:"allows"`
}

// Allowance is what a waiver accepts.
//
// +kubebuilder:validation:XValidation:rule="has(self.boundary) || has(self.controls)",message="boundary or controls is needed: a waiver of nothing is a mistake"
type Allowance struct {
	// Boundary is the weakest that is accepted, whatever class and floor say.
	// +optional
	Boundary Boundary `json:"boundary,omitempty"`
	// Controls of the baseline that the pods may lack.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=7
	// +optional
	Controls []Control `json:"controls,omitempty"`
}

// Control is a part of the baseline.
//
// +kubebuilder:validation:Enum=run-as-non-root;seccomp-default;no-privilege-escalation;read-only-root;drop-all-capabilities;restricted;tokens
type Control string

const (
	// Restricted is Pod Security restricted, beyond the five controls.
	Restricted Control = "restricted"
	// NoTokens is the rule that no ServiceAccount token is mounted.
	NoTokens Control = "tokens"
)
