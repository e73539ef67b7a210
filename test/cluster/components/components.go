//go:build tools

// Package components pins the programs of a real Kubernetes that the tests
// build from source; nothing imports it.
package components

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
