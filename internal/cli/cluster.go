package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-dev/bulkhead/internal/console"
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// clusterOutput bounds what a cluster's objects may come to.
const clusterOutput = 1 << 30

// clusterFlags choose a live cluster, as kubectl does.
type clusterFlags struct {
	on         bool
	kubeconfig string
	context    string
	namespace  string
}

func (f *clusterFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.on, "cluster", false, "read what runs in a cluster, beside the paths or instead of them")
	cmd.Flags().StringVar(&f.kubeconfig, "kubeconfig", "", "kubeconfig for --cluster (default: as kubectl)")
	cmd.Flags().StringVar(&f.context, "context", "", "context of the kubeconfig for --cluster (default: the current one)")
	cmd.Flags().StringVarP(&f.namespace, "namespace", "n", "", "namespace for --cluster (default: every one)")
}

// validate refuses flags that would have no effect.
func (f clusterFlags) validate() error {
	if !f.on && (f.kubeconfig != "" || f.context != "" || f.namespace != "") {
		return console.UsageError(errors.New("--kubeconfig, --context and --namespace are for --cluster"), "add --cluster, or leave them out")
	}
	return nil
}

// aroundWorkloads are the kinds of objects that say something about pods which
// are not their own. Secrets are never read.
func aroundWorkloads() []string {
	return []string{
		"Namespace", "ServiceAccount", "ConfigMap", "node.k8s.io/RuntimeClass", "networking.k8s.io/NetworkPolicy",
		"rbac.authorization.k8s.io/Role", "rbac.authorization.k8s.io/ClusterRole",
		"rbac.authorization.k8s.io/RoleBinding", "rbac.authorization.k8s.io/ClusterRoleBinding",
	}
}

// read reads the workloads of the cluster and what is around them.
func (f clusterFlags) read(ctx context.Context, k kube, own []manifest.Kind) (manifest.Batch, error) {
	scheme, err := manifest.NewScheme(own...)
	if err != nil {
		return manifest.Batch{}, fmt.Errorf("loading the kinds: %w", err)
	}
	var workloads []string
	for _, kind := range scheme.Kinds() {
		workloads = append(workloads, kind.String())
	}
	return f.objects(ctx, k, workloads, aroundWorkloads()), nil
}

// objects reads kinds of the cluster, as GROUP/KIND.
func (f clusterFlags) objects(ctx context.Context, k kube, workloads, around []string) manifest.Batch {
	batch, err := k.run(ctx, []string{
		"objects", "--kubeconfig=" + f.kubeconfig, "--context=" + f.context, "--namespace=" + f.namespace,
		"--workloads=" + strings.Join(workloads, ","), "--around=" + strings.Join(around, ","),
	}, os.Environ(), clusterOutput)
	if err != nil {
		e := &manifest.Error{File: "cluster", Reason: "reading the cluster: " + err.Error(), Hint: "save the objects with kubectl, and name the file"}
		if errors.Is(err, errNoCompanion) {
			e.Hint = companionHint
		}
		batch.Errors = append(batch.Errors, e)
	}
	return batch
}
