package decide

import (
	"github.com/bulkhead-dev/bulkhead/manifest"
)

// Account is what the input says about the ServiceAccount of a workload's pods.
type Account struct {
	Name    string
	Mounted bool // a pod gets its token
	Rights  int  // RBAC rules that the input grants to it
	// PullSecrets are those that the account gives to its pods.
	PullSecrets []string
}

// Account returns what is known of a workload's account; false where its pods
// have different ones, or none are known.
func (n *Network) Account(d Decision) (Account, bool) {
	var out Account
	for i, w := range d.Pods {
		if w.Bare != "" {
			return Account{}, false
		}
		t := n.ix.token(w.Pod, w.Namespace)
		if i > 0 && t.account != out.Name {
			return Account{}, false
		}
		out.Name, out.Mounted = t.account, out.Mounted || t.mounted
	}
	if len(d.Pods) == 0 {
		return Account{}, false
	}
	ns := d.Pods[0].Namespace
	out.Rights = len(n.ix.rights(ns, out.Name))
	if sa, ok := n.ix.accounts[key{namespaceOf(ns), out.Name}]; ok {
		for _, s := range sa.obj.ImagePullSecrets {
			out.PullSecrets = append(out.PullSecrets, s.Name)
		}
	}
	return out, true
}

// HasAccount reports whether the input has an account of the name, or grants it
// rights.
func (n *Network) HasAccount(namespace, name string) bool {
	_, ok := n.ix.accounts[key{namespaceOf(namespace), name}]
	return ok || len(n.ix.rights(namespace, name)) > 0
}

// AccountPaths are where the pods of a workload name their account, in the
// object itself: a pod that is written elsewhere is changed there.
func AccountPaths(d Decision) []manifest.Path {
	var out []manifest.Path
	for _, w := range d.Pods {
		if w.Source != w.Object || w.Assembled {
			return nil
		}
		out = append(out, w.ObjectPath(manifest.Path{"spec", "serviceAccountName"}))
	}
	return out
}
