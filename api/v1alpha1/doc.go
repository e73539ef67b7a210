// Package v1alpha1 is the form of Bulkhead's cluster objects, and how they are
// read from files. An IsolationPolicy says which boundary a pod of each risk class
// gets, and where; package policy renders it into what the API server enforces.
//
// The schema that the API server holds them to is made from these types; Read
// holds files to the same rules, and names the field.
//
// +kubebuilder:object:generate=true
// +groupName=bulkhead.dev
//
//go:generate go tool -modfile=../../tools/go.mod controller-gen object crd paths=. output:crd:dir=../../deploy/crds
package v1alpha1

// Group, Version and their usual form in manifests.
const (
	Group      = "bulkhead.dev"
	Version    = "v1alpha1"
	APIVersion = Group + "/" + Version
)
