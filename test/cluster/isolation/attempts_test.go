package isolation

import (
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

const bypassPreface = `# Ways round the policy

Each of these is tried against a real API server v1.37.2 under ` + "`deploy/policies/default.yaml`" + ` in Enforce (two waivers for one
namespace and a RuntimeClass of a vendor's added), and this page is what came of it: ` + "`cd test/cluster && go test ./isolation -run TestBypass -update`" + ` writes it, and the
same test without ` + "`-update`" + ` fails where an attempt ends otherwise. "A tenant" has the role admin in its namespace, "an editor" the role
edit, "an operator" every ordinary verb on every object, "cluster-admin" every verb. What is **open** is a hole, with its reason and what covers it.
A pod that "gets RuntimeClass" one was created without: it runs behind the boundary of its class.
The chapter on the API server's disk is of a second server, started with the files of ` + "`bulkhead policy render --static-manifests`" + `.
`

const (
	weak    = "runtimeClassName: gvisor"
	needsVM = "class code-execution needs virtual-machine"
)

func chapters() []chapter {
	return []chapter{
		{"What a pod says of itself", selfDescriptions()},
		{"Containers", containerAttempts()},
		{"Changes after admission", updateAttempts()},
		{"RuntimeClasses", runtimeClassAttempts()},
		{"Rights on the node", nodeAttempts()},
		{"Tokens", tokenAttempts()},
		{"Waivers", waiverAttempts()},
		{"Break-glass", glassAttempts()},
		{"Namespaces and NetworkPolicies", namespaceAttempts()},
		{"The policy itself", policyAttempts()},
		{"Policies on the API server's disk", staticAttempts()},
		{"What makes pods", controllerAttempts()},
		{"Time", timeAttempts()},
	}
}

func selfDescriptions() []bypass {
	nb := secure("a", notebookImage, "")
	app := secure("a", "registry.example/app:1", "")
	return []bypass{
		{"a pod that executes code, without a label", creates(team, securePod("", "", nb)), assigned, "kata-fc", ""},
		{"a label that lies", creates(team, securePod("bulkhead.dev/risk-class: inference", "", nb)), assigned, "kata-fc", ""},
		{"a label that lies, and a weaker RuntimeClass", creates(team, securePod("bulkhead.dev/risk-class: inference", weak, nb)), denied, needsVM, ""},
		{"a label that says none", creates(team, securePod("bulkhead.dev/risk-class: none", weak, nb)), denied, needsVM, ""},
		{"a label that is no class", creates(team, securePod("bulkhead.dev/risk-class: Inference", "", nb)), denied, "it is one of none", ""},
		{"the label by which egress is limited, set by hand", creates(team, securePod("bulkhead.dev/enforced-class: inference", "", nb)), assigned, "kata-fc", ""},
		{"an image that nobody knows", creates(team, securePod("", "", app)), open, "",
			"an image's name proves nothing, and this pod shows nothing else. The floor is what covers it: `undeclared.floor` of the policy, or the label bulkhead.dev/minimum-boundary of the namespace"},
		{"an image that nobody knows, in a namespace with a floor", creates("floor", securePod("", "", app)), assigned, "gvisor", ""},
		{"an image that nobody knows, on a node chosen by hand", creates("floor", securePod("", "nodeName: n1", app)), assigned, "gvisor", ""},
		{"code execution under another image's name", creates(team, securePod("", "", secure("a", "registry.example/nginx:1", ", command: [jupyter, lab]"))), assigned, "kata-fc", ""},
		{"a pod too large to be judged", creates(team, securePod("", weak, secure("a", "registry.example/app:1", ", args: ["+strings.Repeat("x, ", 1001)+"x]"))), denied, needsVM, ""},
	}
}

func containerAttempts() []bypass {
	app := secure("a", "registry.example/app:1", "")
	nb := secure("b", notebookImage, "")
	return []bypass{
		{"a second container that executes code", creates(team, securePod("", weak, app, nb)), denied, needsVM, ""},
		{"an init container that does", creates(team, securePod("", weak+", initContainers: ["+nb+"]", app)), denied, needsVM, ""},
		{"a sidecar that does", creates(team, securePod("", "initContainers: ["+secure("b", notebookImage, ", restartPolicy: Always")+"]", app)), assigned, "kata-fc", ""},
		{"an ephemeral container in a pod that shows nothing", changes(team, byOperator, securePod("", "", app), "ephemeralcontainers", func(o *unstructured.Unstructured) {
			setField(o, []any{ephemeral(notebookImage)}, "spec", "ephemeralContainers")
		}), denied, needsVM, ""},
		{"an ephemeral container without the baseline in a model server", changes(team, byOperator, securePod("", "", secure("a", "vllm/vllm-openai:1", "")), "ephemeralcontainers", func(o *unstructured.Unstructured) {
			c := ephemeral("registry.example/debug:1")
			delete(c, "securityContext")
			setField(o, []any{c}, "spec", "ephemeralContainers")
		}), denied, "an LLM workload lacks", ""},
	}
}

func ephemeral(image string) map[string]any {
	return map[string]any{"name": "debug", "image": image, "securityContext": map[string]any{
		"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": map[string]any{"drop": []any{"ALL"}}}}
}

func setField(o *unstructured.Unstructured, value any, at ...string) {
	if err := unstructured.SetNestedField(o.Object, value, at...); err != nil {
		panic(err) // a mistake in the table
	}
}

func updateAttempts() []bypass {
	app := securePod("", "", secure("a", "registry.example/app:1", ""))
	return []bypass{
		{"an image that executes code instead of one that shows nothing", changes(team, byTenant, app, "", func(o *unstructured.Unstructured) { setImage(o, notebookImage) }), denied, needsVM, ""},
		{"a higher class is declared later", changes(team, byTenant, app, "", func(o *unstructured.Unstructured) {
			o.SetLabels(map[string]string{"bulkhead.dev/risk-class": "tool-calling"})
		}), denied, "class tool-calling needs virtual-machine", ""},
		{"the label by which egress is limited is taken away", changes(team, byTenant, securePod("", "", secure("a", "qdrant/qdrant:1", "")), "", func(o *unstructured.Unstructured) { o.SetLabels(nil) }), denied, "bulkhead.dev/enforced-class", ""},
		{"the RuntimeClass is changed", changes(team, byTenant, securePod("", "", secure("a", notebookImage, "")), "", func(o *unstructured.Unstructured) {
			setField(o, "gvisor", "spec", "runtimeClassName")
		}), byServer, "pod updates may not change fields", ""},
		{"resources are changed", changes(team, byOperator, securePod("", "", secure("a", "registry.example/app:1", ", resources: {requests: {cpu: 20m}}")), "resize", func(o *unstructured.Unstructured) {
			c := o.Object["spec"].(map[string]any)["containers"].([]any)[0].(map[string]any)
			c["resources"] = map[string]any{"requests": map[string]any{"cpu": "10m"}}
		}), harmless, "", "a resize changes processor time and memory, which no rule looks at"},
	}
}

func runtimeClassAttempts() []bypass {
	nb := secure("a", notebookImage, "")
	class := func(name, handler, more string) string {
		return "{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: " + name + "}, handler: " + handler + more + "}"
	}
	return []bypass{
		{`the RuntimeClass ""`, creates(team, securePod("", `runtimeClassName: ""`, nb)), byServer, "", ""},
		{"a RuntimeClass that is not there", creates(team, securePod("", "runtimeClassName: other", nb)), byServer, "not found", ""},
		{"a weaker RuntimeClass", creates(team, securePod("", weak, nb)), denied, "set spec.runtimeClassName to kata-fc", ""},
		{"a RuntimeClass of somebody else's", func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
			w.applyAll(t, class("mine", "kata-fc", ""))
			return creates(team, securePod("", "runtimeClassName: mine", nb))(t, w)
		}, denied, "RuntimeClass mine gives shared-kernel", ""},
		{"a RuntimeClass is made by a tenant", does(byTenant, class("kata-tenant", "runc", ""), false), byRBAC, "", ""},
		{"a trusted RuntimeClass gets another handler", does(byOperator, class("kata", "runc", ""), false), byServer, "field is immutable", ""},
		{"another handler under a trusted name that is not there yet", does(byOperator, class("vendor", "runc", ""), false), denied, "to have handler kata, and this one has runc", ""},
		{"a trusted RuntimeClass is deleted", does(byOperator, class("kata", "kata", ""), true), denied, "take it out of the policy first", ""},
		{"a trusted RuntimeClass is scheduled elsewhere", does(byOperator, class("kata", "kata", ", scheduling: {nodeSelector: {pool: small}}"), false), open, "",
			"overhead and scheduling of a RuntimeClass are the operator's. The handler is not changed by them: a node without it does not start the pod"},
		{"overhead set by hand", creates(team, securePod("", "runtimeClassName: kata-fc, overhead: {cpu: 1m}", nb)), byServer, "", ""},
		{"a node selector set by hand", creates(team, securePod("", "nodeSelector: {pool: small}", nb)), assigned, "kata-fc", ""},
	}
}

func nodeAttempts() []bypass {
	model := "vllm/vllm-openai:1"
	volume := func(v string) string { return "volumes: [" + v + "]" }
	return []bypass{
		{"a privileged container", creates(team, strings.Replace(securePod("", "", secure("a", model, "")), "allowPrivilegeEscalation: false", "privileged: true", 1)), denied, "an LLM workload", ""},
		{"the node's network", creates(team, securePod("", "hostNetwork: true", secure("a", model, ""))), denied, "hostNetwork, hostPID or hostIPC", ""},
		{"the node's processes", creates(team, securePod("", "hostPID: true", secure("a", model, ""))), denied, "hostNetwork, hostPID or hostIPC", ""},
		{"the node's memory for processes", creates(team, securePod("", "hostIPC: true", secure("a", model, ""))), denied, "hostNetwork, hostPID or hostIPC", ""},
		{"a folder of the node", creates(team, securePod("", volume("{name: v, hostPath: {path: /var}}"), secure("a", model, ""))), denied, "a volume that is neither", ""},
		{"the socket of a container runtime", creates(team, securePod("", volume("{name: v, hostPath: {path: /run/containerd/containerd.sock}}"), secure("a", model, ""))), denied, "a volume that is neither", ""},
		{"the socket of a container runtime, for a pod that shows nothing", creates(team, securePod("", volume("{name: v, hostPath: {path: /run/containerd/containerd.sock}}"), secure("a", "registry.example/app:1", ""))), open, "",
			"the policy holds LLM workloads to the baseline, and ordinary pods of a cluster may need the node. Pod Security `baseline` or `restricted` on the namespace covers it, and so does a floor against what the kernel is used for"},
		{"a mirror pod made by a tenant", creates(team, strings.Replace(securePod("", weak+", nodeName: n1", secure("a", notebookImage, "")), "labels: {}", `annotations: {kubernetes.io/config.mirror: x}`, 1)), denied, needsVM, ""},
		{"a mirror pod made by a node", func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
			node, err := w.client.CoreV1().Nodes().Get(t.Context(), "n1", metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			o := pod(t, team, securePod("", "nodeName: n1", secure("a", notebookImage, "")))
			o.SetAnnotations(map[string]string{"kubernetes.io/config.mirror": "x", "kubernetes.io/config.hash": "x", "kubernetes.io/config.source": "file"})
			controller := true
			o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "n1", UID: node.UID, Controller: &controller}})
			out, _, err := w.node.try(t.Context(), o)
			return out, err
		}, open, "", "it stands for a static pod, which the kubelet runs already and no admission sees. Who writes to a node's manifests is root there; it is for a check of the node to find"},
	}
}

func tokenAttempts() []bypass {
	model := secure("a", "vllm/vllm-openai:1", "")
	volume := func(v string) string { return "volumes: [" + v + "]" }
	mounts := "mounts no ServiceAccount token"
	secret := func(name string) string {
		return "{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token, metadata: {name: " + name + ", namespace: team, annotations: {kubernetes.io/service-account.name: default}}}"
	}
	return []bypass{
		{"the token that the API server mounts", creates(team, strings.Replace(securePod("", "", model), "automountServiceAccountToken: false", "automountServiceAccountToken: true", 1)), denied, mounts, ""},
		{"a token projected by hand", creates(team, securePod("", volume("{name: v, projected: {sources: [{serviceAccountToken: {path: t}}]}}"), model)), denied, mounts, ""},
		{"a token for an audience that is not allowed", creates(team, securePod("", volume("{name: v, projected: {sources: [{serviceAccountToken: {path: t, audience: vault}}]}}"), model)), denied, mounts, ""},
		{"a token Secret of old", creates(team, securePod("", volume("{name: v, secret: {secretName: default-token-abc12}}"), model)), denied, mounts, ""},
		{"a token Secret of old in the environment", creates(team, securePod("", "", secure("a", "vllm/vllm-openai:1", ", env: [{name: T, valueFrom: {secretKeyRef: {name: default-token-abc12, key: token}}}]"))), denied, mounts, ""},
		{"a token Secret under a harmless name", does(byEditor, secret("weights"), false), denied, "Secrets named NAME-token-abcde", ""},
		{"a token that is copied into another Secret", creates(team, securePod("", volume("{name: v, secret: {secretName: copied}}"), model)), open, "",
			"what is in a Secret cannot be seen from a pod. Who may read a token's Secret has the token already: RBAC on Secrets covers it"},
	}
}

func waiverAttempts() []bypass {
	return []bypass{
		{"a waiver that ended", creates("waived", securePod("app: old", weak, secure("old", notebookImage, ""))), denied, "the waiver of team-lab (LAB-1) ended with 2020-01-01", ""},
		{"a waiver for another container", creates("waived", securePod("app: lab", weak, secure("lab", notebookImage, ""), secure("b", notebookImage, ""))), denied, needsVM, ""},
		{"a waiver for less than it allows", creates("waived", securePod("app: lab", "", secure("lab", notebookImage, ""))), denied, needsVM, ""},
		{"a pod that a waiver let through gets another image", changes("waived", byTenant, securePod("app: lab", weak, secure("lab", notebookImage, "")), "", func(o *unstructured.Unstructured) { setImage(o, "jupyter/base-notebook:2") }), denied, "or this is an update", ""},
		{"a pod that a waiver let through gets an ephemeral container", changes("waived", byOperator, securePod("app: lab", weak, secure("lab", notebookImage, "")), "ephemeralcontainers", func(o *unstructured.Unstructured) {
			setField(o, []any{ephemeral("registry.example/debug:1")}, "spec", "ephemeralContainers")
		}), denied, needsVM, ""},
		{"a waiver of another namespace", creates(team, securePod("app: lab", weak, secure("lab", notebookImage, ""))), denied, needsVM, ""},
	}
}

func namespaceAttempts() []bypass {
	ns := func(name, labels string) string {
		return "{apiVersion: v1, kind: Namespace, metadata: {name: " + name + ", labels: {" + labels + "}}}"
	}
	allowAll := networkPolicy("open", "{}", "[{}]")
	return []bypass{
		{"a namespace that a tenant got, with labels that ask for an exception", creates("fresh", securePod("", "", secure("a", notebookImage, ""))), assigned, "kata-fc", ""},
		{"a namespace under the name of one that the policy leaves out", does(byOperator, ns("bulkhead-system", ""), false), denied, "policies do not hold for a namespace of this name", ""},
		{"a tenant lowers the floor of a namespace", does(byTenant, ns("floor", ""), false), byRBAC, "", ""},
		{"an operator lowers the floor of a namespace", does(byOperator, ns("floor", ""), false), denied, "takes the verb administer", ""},
		{"an operator gives a namespace the name of another by its label", func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
			out, err := does(byOperator, ns(team, "kubernetes.io/metadata.name: kube-system"), false)(t, w)
			if err == nil && out.GetLabels()["kubernetes.io/metadata.name"] != team {
				t.Fatalf("it has labels %v", out.GetLabels())
			}
			return nil, err
		}, harmless, "", "policies select namespaces by kubernetes.io/metadata.name, which the API server sets to the namespace's name at each write"},
		{"an operator labels a node", does(byOperator, "{apiVersion: v1, kind: Node, metadata: {name: n1, labels: {bulkhead.dev/runtime: kata}}}", false), denied, "takes the verb administer", ""},
		{"a node labels itself", func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
			_, err := w.node.client.CoreV1().Nodes().Patch(t.Context(), "n1", types.MergePatchType, []byte(`{"metadata":{"labels":{"bulkhead.dev/runtime":"kata"}}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
			return nil, err
		}, denied, "takes the verb administer", ""},
		{"an allow-all NetworkPolicy by an editor", does(byEditor, allowAll, false), denied, "opens egress that their IsolationPolicy does not", ""},
		{"a namespace that is newer than the rendered NetworkPolicies", func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
			list, err := w.client.NetworkingV1().NetworkPolicies("fresh").List(t.Context(), metav1.ListOptions{})
			if err == nil && len(list.Items) > 0 {
				t.Fatal("it has NetworkPolicies")
			}
			return nil, err
		}, open, "", "NetworkPolicies belong to a namespace: `policy render` writes those of the namespaces that it is given, so egress is not limited in a new one until it is rendered again. Pods get their boundary there from the first moment"},
		{"a CNI that ignores NetworkPolicies", func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
			list, err := w.client.NetworkingV1().NetworkPolicies(team).List(t.Context(), metav1.ListOptions{}) // and no CNI runs here
			if err == nil && len(list.Items) == 0 {
				t.Fatal("there are no NetworkPolicies")
			}
			return nil, err
		}, open, "", "the API server keeps NetworkPolicies whether or not anything enforces them. It is for a probe from inside a pod to find"},
		{"the limits of egress are opened by an editor", does(byEditor, networkPolicy("bulkhead-egress-retrieval", "{}", "[{}]"), false), denied, "takes the verb administer", ""},
		{"the limits of egress are deleted by a tenant", does(byTenant, networkPolicy("bulkhead-egress-retrieval", "{}", "[{}]"), true), denied, "takes the verb administer", ""},
	}
}

func policyAttempts() []bypass {
	vap := "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: bulkhead-pods-enforce}}"
	binding := "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: bulkhead-pods-enforce}}"
	mutating := "{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingAdmissionPolicy, metadata: {name: bulkhead-assign-enforce}}"
	isolation := "{apiVersion: bulkhead.dev/v1alpha1, kind: IsolationPolicy, metadata: {name: default}}"
	without := func(namespace string) string {
		return "{apiVersion: bulkhead.dev/v1alpha1, kind: IsolationPolicy, metadata: {name: default}, spec: {mode: Enforce, namespaces: {exclude: [kube-system, " + namespace + "]}}}"
	}
	opened := strings.TrimSuffix(vap, "}") + `, spec: {failurePolicy: Ignore, matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [pods]}]}, validations: [{expression: "true"}]}}`
	who := "who may change admission policies decides what is admitted, and no admission policy sees changes to admission policies. RBAC covers it: no role but an administrator's has these verbs; an API server that loads them from files keeps them, whoever deletes"
	return []bypass{
		{"a tenant deletes the policy for pods", does(byTenant, vap, true), byRBAC, "", ""},
		{"an editor deletes its binding", does(byEditor, binding, true), byRBAC, "", ""},
		{"a tenant deletes the policy that assigns RuntimeClasses", does(byTenant, mutating, true), byRBAC, "", ""},
		{"a tenant deletes the IsolationPolicy", does(byTenant, isolation, true), byRBAC, "", ""},
		{"a tenant takes its namespace out of the IsolationPolicy", does(byTenant, without(team), false), byRBAC, "", ""},
		{"an editor opens the policy for pods", does(byEditor, opened, false), byRBAC, "", ""},
		{"a tenant gives itself the verb administer", does(byTenant, "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: more, namespace: team}, rules: [{apiGroups: [bulkhead.dev], resources: [isolationpolicies], verbs: [administer]}]}", false), byRBAC, "", ""},
		{"an operator deletes the policy for pods", does(byOperator, vap, true), open, "", who},
		{"an operator opens the policy for pods", does(byOperator, opened, false), open, "", who},
		{"an operator deletes its binding", does(byOperator, binding, true), open, "", who},
		{"an operator deletes the policy that assigns RuntimeClasses", unassigned, denied, needsVM + ", and a pod without a RuntimeClass gives shared-kernel", ""},
		{"an operator takes a namespace out of the IsolationPolicy", does(byOperator, without(team), false), harmless, "", "what holds is what was rendered: the change counts when somebody renders it again"},
		{"an operator deletes the IsolationPolicy", does(byOperator, isolation, true), harmless, "", "what holds is what was rendered, and stays"},
		{"an operator gives itself the verb administer", does(byOperator, "{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: more}, rules: [{apiGroups: [bulkhead.dev], resources: [isolationpolicies], verbs: [administer]}]}", false), byRBAC, "", ""},
		{"exec into a pod", func(t *testing.T, w *tenancy) (*unstructured.Unstructured, error) {
			review, err := w.tenant.client.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{
				Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: team, Verb: "create", Resource: "pods", Subresource: "exec", Name: "a"}},
			}, metav1.CreateOptions{})
			if err == nil && !review.Status.Allowed {
				t.Fatal("the role admin may not")
			}
			return nil, err
		}, open, "", "admission sees the command of an exec, and neither labels nor class of the pod. What runs stays behind the pod's boundary; who may exec at all is for RBAC on `pods/exec`, which the roles admin and edit grant"},
	}
}

// unassigned deletes the policy that assigns RuntimeClasses, and makes a pod
// without one.
func unassigned(t *testing.T, w *tenancy) (out *unstructured.Unstructured, last error) {
	t.Helper()
	client := w.operator.client.AdmissionregistrationV1().MutatingAdmissionPolicies()
	p, err := client.Get(t.Context(), "bulkhead-assign-enforce", metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if err := client.Delete(t.Context(), p.Name, metav1.DeleteOptions{}); err != nil {
		return nil, err
	}
	w.settle(t, team)
	out, last = creates(team, securePod("", "", secure("a", notebookImage, "")))(t, w)
	p.ResourceVersion, p.UID = "", ""
	if _, err := client.Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		return nil, err
	}
	w.settle(t, team)
	return out, last
}
