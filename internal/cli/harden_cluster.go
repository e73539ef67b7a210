package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/internal/decide"
	"github.com/bulkhead-dev/bulkhead/internal/harden"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// addRuntimes adds the flags by which harden asks a cluster for its runtimes.
func (f *clusterFlags) addRuntimes(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.on, "cluster", false, "ask a cluster which RuntimeClasses it has, and which handlers its nodes have")
	cmd.Flags().StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig for --cluster (default: as kubectl)")
	cmd.Flags().StringVar(&f.context, "context", "", "context of the kubeconfig for --cluster (default: the current one)")
}

// ask reads the RuntimeClasses, the nodes and the IsolationPolicies of a cluster,
// and judges the input with them.
func (h *hardening) ask(ctx context.Context, f clusterFlags, k kube) (err error) {
	batch := f.objects(ctx, k, nil, []string{"node.k8s.io/RuntimeClass", "Node", v1alpha1.Group + "/" + v1alpha1.IsolationPolicyKind})
	if len(batch.Errors) > 0 { // what is not there is not known
		h.refused = append(h.refused, batch.Errors...)
		return nil
	}
	h.cluster, h.asked = batch.Objects, true
	confining, wrong := harden.Confining(batch.Objects)
	h.confining, h.refused = append(h.confining, confining...), append(h.refused, wrong...)
	h.input.outcome, err = h.decide(h.input.objects)
	return err
}

// decide decides about objects, as seen with what the cluster has.
func (h *hardening) decide(objects ...[]*manifest.Object) (decide.Outcome, error) {
	return h.input.decider.Decide(slices.Concat(append(objects, h.cluster)...))
}

// absent finds what the cluster has to get first.
func (h *hardening) absent() {
	if h.asked {
		h.left = append(h.left, harden.Absent(h.after, h.all, h.input.objects, h.cluster)...)
	}
}
