package v1alpha1

import (
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// IsolationPolicyKind is the kind of an IsolationPolicy.
const IsolationPolicyKind = "IsolationPolicy"

// IsolationPolicy says which isolation boundary pods of each risk class get. It
// is rendered into admission policies that the API server evaluates itself.
// Where several policies hold for a namespace, the strictest counts.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=bulkhead
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.spec.mode`
// +kubebuilder:printcolumn:name="Baseline",type=string,JSONPath=`.spec.baseline`
// +kubebuilder:printcolumn:name="Floor",type=string,JSONPath=`.spec.undeclared.floor`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type IsolationPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Spec is what an administrator writes.
	Spec IsolationPolicySpec `json:"spec"`
	// Status is what became of it.
	Status IsolationPolicyStatus `json:"status,omitzero"`
}

// IsolationPolicyList is a list of policies.
//
// +kubebuilder:object:root=true
type IsolationPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []IsolationPolicy `json:"items"`
}

// Mode is what is done about a pod that its policy does not allow.
//
// +kubebuilder:validation:Enum=Audit;Warn;Enforce
type Mode string

const (
	// Audit: it is written to the audit log of the API server.
	Audit Mode = "Audit"
	// Warn: who creates it is warned too.
	Warn Mode = "Warn"
	// Enforce: it is denied; a pod without a RuntimeClass gets one.
	Enforce Mode = "Enforce"
)

// BaselineMode is what is done about an LLM workload without the baseline.
//
// +kubebuilder:validation:Enum="Off";Warn;Enforce
type BaselineMode string

const (
	BaselineOff     BaselineMode = "Off"
	BaselineWarn    BaselineMode = "Warn"
	BaselineEnforce BaselineMode = "Enforce"
)

// RiskClass is what an LLM workload can do, from inference (serves a model) to
// code-execution (runs code that a model or a remote user wrote).
//
// +kubebuilder:validation:Enum=inference;retrieval;tool-calling;code-execution
type RiskClass string

// Boundary is what stands between a pod and the node's kernel, from weak to
// strong: shared-kernel (runc), user-kernel (gVisor), virtual-machine (Kata).
//
// +kubebuilder:validation:Enum=shared-kernel;user-kernel;virtual-machine
type Boundary string

// NodeDefault stands in a route for a pod without a RuntimeClass: it gets the
// node's default runtime, which shares the node's kernel.
const NodeDefault = "NodeDefault"

// IsolationPolicySpec is what an administrator writes.
//
// +kubebuilder:validation:XValidation:rule="!has(self.routes) || self.routes.all(r, r.runtimeClasses.all(n, n == 'NodeDefault' || (has(self.runtimeClasses) && self.runtimeClasses.exists(c, c.name == n))))",message="a route names a RuntimeClass that is not in spec.runtimeClasses"
// +kubebuilder:validation:XValidation:rule="self.mode != 'Enforce' || (has(self.namespaces) && ((has(self.namespaces.include) && self.namespaces.include.size() > 0 && !self.namespaces.include.exists(p, 'kube-system'.matches('^' + p.replace('*', '.*') + '$'))) || (has(self.namespaces.exclude) && self.namespaces.exclude.exists(p, 'kube-system'.matches('^' + p.replace('*', '.*') + '$')))))",message="mode Enforce with kube-system in scope could lock everybody out of the cluster: add kube-system to spec.namespaces.exclude",fieldPath=".namespaces"
// +kubebuilder:validation:XValidation:rule="!has(self.routes) || self.routes.all(r, r.riskClass == 'inference' || has(r.waiver) || r.runtimeClasses.all(n, n != 'NodeDefault' && has(self.runtimeClasses) && self.runtimeClasses.exists(c, c.name == n && !(c.runtime in ['runc', 'crun', 'sysbox', 'nvidia', 'wasm', 'urunc', 'runhcs']))))",message="a route of retrieval, tool-calling or code-execution to shared-kernel needs a waiver with owner, reason and expires",fieldPath=".routes"
// +kubebuilder:validation:XValidation:rule="!has(self.routes) || self.routes.all(r, !(r.riskClass in ['tool-calling', 'code-execution']) || has(r.waiver) || r.runtimeClasses.all(n, has(self.runtimeClasses) && self.runtimeClasses.exists(c, c.name == n && c.runtime != 'gvisor')))",message="a route of tool-calling or code-execution to user-kernel needs a waiver with owner, reason and expires",fieldPath=".routes"
// +kubebuilder:validation:XValidation:rule="self.undeclared.floor == 'shared-kernel' || (has(self.runtimeClasses) && self.runtimeClasses.exists(c, !(c.runtime in ['runc', 'crun', 'sysbox', 'nvidia', 'wasm', 'urunc', 'runhcs']) && (self.undeclared.floor == 'user-kernel' || c.runtime != 'gvisor')))",message="no RuntimeClass of spec.runtimeClasses gives the floor: every pod would be denied",fieldPath=".undeclared.floor"
type IsolationPolicySpec struct {
	// Mode is what is done about a pod that the policy does not allow: Audit
	// writes it to the audit log, Warn also warns who creates it, Enforce denies
	// it and gives a pod without a RuntimeClass the one of its route.
	Mode Mode `json:"mode"`

	// Namespaces are those that the policy holds for. Without it, every one
	// but bulkhead-system, which is never in scope.
	// +optional
	Namespaces Namespaces `json:"namespaces,omitzero"`

	// Baseline is what is done about LLM workloads that lack one of the five
	// controls (runAsNonRoot, seccomp, no privilege escalation, a read-only root,
	// no capabilities), break Pod Security restricted, or mount a token of the API
	// server. It never does more than the mode.
	// +kubebuilder:default=Enforce
	// +optional
	Baseline BaselineMode `json:"baseline,omitempty"`

	// Undeclared says what pods get that declare no class.
	// +kubebuilder:default={}
	// +optional
	Undeclared Undeclared `json:"undeclared,omitzero"`

	// Unknown is the class of an LLM workload that the evidence cannot place, or
	// Deny.
	// +kubebuilder:validation:Enum=inference;retrieval;tool-calling;code-execution;Deny
	// +kubebuilder:default=code-execution
	// +optional
	Unknown string `json:"unknown,omitempty"`

	// RuntimeClasses are the RuntimeClasses that the policy trusts. Every other
	// RuntimeClass counts as shared-kernel, whatever it is called.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	// +optional
	RuntimeClasses []RuntimeClass `json:"runtimeClasses,omitempty"`

	// Routes say which RuntimeClasses a pod of a class may have. The first is
	// what a pod without one gets; a stronger boundary than the weakest of them is
	// always allowed. A class without a route gets what spec.runtimeClasses has
	// for the boundary that its risk calls for.
	// +listType=map
	// +listMapKey=riskClass
	// +kubebuilder:validation:MaxItems=4
	// +optional
	Routes []Route `json:"routes,omitempty"`

	// Egress is where pods of the classes may send packets; DNS is always
	// allowed. Pods of a class that no entry names are not limited.
	// +kubebuilder:validation:MaxItems=16
	// +optional
	Egress []Egress `json:"egress,omitempty"`

	// Tokens are exceptions from the rule of the baseline that an LLM workload
	// mounts no ServiceAccount token.
	// +optional
	Tokens Tokens `json:"tokens,omitzero"`

	// Waivers accept less for some pods, until a day.
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Waivers []Waiver `json:"waivers,omitempty"`
}

// NamespacePattern is the name of a namespace; `*` stands for any characters.
//
// +kubebuilder:validation:Pattern=`^[a-z0-9*]([a-z0-9*-]*[a-z0-9*])?$`
// +kubebuilder:validation:MaxLength=63
type NamespacePattern string

// Namespaces selects namespaces by name alone: a label can be set by who owns the
// namespace.
type Namespaces struct {
	// Include are the namespaces that the policy holds for; empty is every one.
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Include []NamespacePattern `json:"include,omitempty"`
	// Exclude are namespaces that it does not hold for, whatever include says.
	// +kubebuilder:validation:MaxItems=256
	// +optional
	Exclude []NamespacePattern `json:"exclude,omitempty"`
}

// UndeclaredMode says how the class of a pod is found that declares none.
//
// +kubebuilder:validation:Enum=Evidence;FloorOnly
type UndeclaredMode string

const (
	// Evidence: the rules look at images, commands, environment and volumes.
	Evidence UndeclaredMode = "Evidence"
	// FloorOnly: only a declared class and the floor count.
	FloorOnly UndeclaredMode = "FloorOnly"
)

// Undeclared says what pods get that declare no class.
type Undeclared struct {
	// Mode is Evidence, where the rules find the class, or FloorOnly.
	// +kubebuilder:default=Evidence
	// +optional
	Mode UndeclaredMode `json:"mode,omitempty"`
	// Floor is the weakest boundary that any pod in scope may have, whatever it
	// declares and looks like. It is the guarantee: evidence only raises above it.
	// The label bulkhead.dev/minimum-boundary raises it for one namespace.
	// +kubebuilder:default=shared-kernel
	// +optional
	Floor Boundary `json:"floor,omitempty"`
	// Exempt is what the floor does not hold for. Evidence and declared classes
	// count all the same.
	// +optional
	Exempt Exempt `json:"exempt,omitzero"`
}

// Exempt lists what the floor does not hold for.
type Exempt struct {
	// Namespaces are names; `*` stands for any characters.
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Namespaces []NamespacePattern `json:"namespaces,omitempty"`
	// Images are repositories such as registry.example/team/app, whole or from
	// any `/` on; `*` stands for any characters of one part. All containers of a
	// pod have to be in the list.
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Images []ImagePattern `json:"images,omitempty"`
}

// ImagePattern is a repository without tag and digest.
//
// +kubebuilder:validation:XValidation:rule="self.matches('[^*/]')",message="it is every image"
// +kubebuilder:validation:Pattern=`^[A-Za-z0-9._*-]+(:[0-9]+/[A-Za-z0-9._*-]+)?(/[A-Za-z0-9._*-]+)*$`
// +kubebuilder:validation:MaxLength=255
type ImagePattern string

// RuntimeClass is one that the policy trusts to give a runtime.
//
// +kubebuilder:validation:XValidation:rule="!(self.handler in ['runc', 'crun', 'youki', 'sysbox', 'sysbox-runc', 'nvidia', 'spin', 'wasm', 'wasmtime', 'wasmedge', 'urunc']) || self.runtime in ['runc', 'crun', 'sysbox', 'nvidia', 'wasm', 'urunc', 'runhcs']",message="the handler is known to share the node's kernel, and the runtime does not",fieldPath=".handler"
// +kubebuilder:validation:XValidation:rule="!self.handler.matches('^(runsc|gvisor)(-.*)?$') || self.runtime in ['gvisor', 'runc', 'crun', 'sysbox', 'nvidia', 'wasm', 'urunc', 'runhcs']",message="the handler is known as gVisor's, and the runtime is stronger",fieldPath=".handler"
type RuntimeClass struct {
	// Name is the RuntimeClass's.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$`
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// Runtime is what runs the pod, and by that its boundary: a name of
	// docs/boundaries.md, such as gvisor, kata or kata-fc.
	// +kubebuilder:validation:Enum=runc;crun;sysbox;nvidia;wasm;urunc;runhcs;gvisor;kata;kata-gpu;kata-remote;kata-fc;firecracker;qemu;nitro;hyper-v
	Runtime string `json:"runtime"`
	// Handler is the name by which nodes know the runtime. It cannot be changed
	// once the RuntimeClass exists.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Handler string `json:"handler"`
	// Manage is false for a RuntimeClass that somebody else owns, such as the
	// vendor of the cluster. It is not rendered, and still guarded.
	// +kubebuilder:default=true
	// +optional
	Manage *bool `json:"manage,omitempty"`
	// Overhead is what a pod of the class costs beside its containers.
	// +optional
	Overhead *nodev1.Overhead `json:"overhead,omitempty"`
	// Scheduling keeps pods of the class to nodes that have the runtime.
	// +optional
	Scheduling *nodev1.Scheduling `json:"scheduling,omitempty"`
}

// Managed reports whether the RuntimeClass is rendered.
func (c RuntimeClass) Managed() bool { return c.Manage == nil || *c.Manage }

// Route says which RuntimeClasses pods of one class may have.
//
// +kubebuilder:validation:XValidation:rule="self.runtimeClasses.filter(n, n == 'NodeDefault').size() <= 1",message="NodeDefault is there twice",fieldPath=".runtimeClasses"
type Route struct {
	// RiskClass is that of the pods.
	RiskClass RiskClass `json:"riskClass"`
	// RuntimeClasses are names of spec.runtimeClasses, best first, or NodeDefault.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	RuntimeClasses []string `json:"runtimeClasses"`
	// Waiver has to be there where the route allows a weaker boundary than the
	// class calls for. After its day the route is what the class calls for.
	// +optional
	Waiver *Responsibility `json:"waiver,omitempty"`
}

// Egress is where pods of some classes may send packets.
type Egress struct {
	// RiskClasses are those of the pods.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=4
	RiskClasses []RiskClass `json:"riskClasses"`
	// Peers are where they may send packets, beside DNS; none is nowhere.
	// +kubebuilder:validation:MaxItems=64
	// +optional
	Peers []Peer `json:"peers,omitempty"`
}

// Peer is a port of the pods of one namespace.
type Peer struct {
	// Namespace is its name.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// Port of the peer's pods.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// Protocol is TCP or UDP.
	// +kubebuilder:validation:Enum=TCP;UDP
	// +kubebuilder:default=TCP
	// +optional
	Protocol string `json:"protocol,omitempty"`
}

// Tokens are exceptions from the rule that an LLM workload mounts no token.
type Tokens struct {
	// Audiences are those of projected tokens that any LLM workload may mount.
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=255
	// +optional
	Audiences []string `json:"audiences,omitempty"`
	// ServiceAccounts, as NAMESPACE/NAME, may have tokens of the API server.
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([a-z0-9-]*[a-z0-9])?/[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`
	// +kubebuilder:validation:items:MaxLength=317
	// +optional
	ServiceAccounts []string `json:"serviceAccounts,omitempty"`
}

// IsolationPolicyStatus is what a controller reports.
type IsolationPolicyStatus struct {
	// Conditions say how far the policy is in force.
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// ObservedGeneration is the generation that was rendered last.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
}
