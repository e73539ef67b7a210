// Command bench-admission measures, interleaved on four API servers, the
// creation of pods without a policy, with what the default policy renders to,
// with a hundred such policies, and with webhooks that do nothing. Its last line
// is the verdict.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/api/v1alpha1"
	"github.com/bulkhead-dev/bulkhead/test/cluster/admission"
	"github.com/bulkhead-dev/bulkhead/test/cluster/apiserver"
)

// namespace is where the pods are created.
const namespace = "bench"

// The servers, by what they are asked for on the way of a pod.
const (
	none = iota
	one
	hundred
	webhooks
	servers
)

func main() {
	rounds := flag.Int("rounds", 10, "interleaved rounds")
	requests := flag.Int("requests", 200, "requests of a round at each server")
	file := flag.String("policy", "../../deploy/policies/default.yaml", "the IsolationPolicy, in Enforce")
	profile := flag.String("profile", "", "write a CPU profile of the API server with one policy here, and measure nothing")
	flag.Parse()
	if err := run(context.Background(), *rounds, *requests, *file, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "bench-admission:", err)
		os.Exit(1)
	}
}

// cell is one server.
type cell struct {
	config *rest.Config
	client *kubernetes.Clientset
}

// creates makes pods there, as server-side dry runs.
func (c *cell) creates(pod *corev1.Pod) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := c.client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
}

// start runs the servers; stop ends what was started.
func start(ctx context.Context, dir string) (cells [servers]*cell, stop func(), err error) {
	var started []*apiserver.Server
	stop = func() {
		for _, s := range started {
			_ = s.Stop() // the programs are killed; the figures are printed by now
		}
	}
	bin, err := apiserver.Build(ctx, os.Stderr)
	if err != nil {
		return cells, stop, err
	}
	for i := range cells {
		own := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(own, 0o700); err != nil {
			return cells, stop, err
		}
		s, err := apiserver.Start(ctx, bin, own)
		if err != nil {
			return cells, stop, err
		}
		started = append(started, s)
		config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig())
		if err != nil {
			return cells, stop, err
		}
		config.QPS, config.Burst, config.WarningHandler = -1, -1, rest.NoWarnings{}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return cells, stop, err
		}
		cells[i] = &cell{config, client}
		if err := admission.Namespace(ctx, client, namespace); err != nil {
			return cells, stop, err
		}
	}
	return cells, stop, nil
}

func readPolicy(path string) (*v1alpha1.IsolationPolicy, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var object map[string]any
	if err := yaml.UnmarshalStrict(text, &object); err != nil {
		return nil, err
	}
	p, errs := v1alpha1.Read(object)
	return p, errs.ToAggregate()
}

func run(ctx context.Context, rounds, requests int, file, profile string) error {
	base, err := readPolicy(file)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench-admission-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	cells, stop, err := start(ctx, dir)
	defer stop()
	if err != nil {
		return err
	}
	for i, n := range map[int]int{one: 1, hundred: 100} {
		objects, err := admission.Policies(base, n, namespace)
		if err != nil {
			return err
		}
		if err := admission.Apply(ctx, cells[i].config, namespace, objects); err != nil {
			return err
		}
	}
	if profile != "" {
		return record(ctx, cells[one], profile)
	}
	hook := admission.NewWebhook()
	defer hook.Close()
	if err := hook.Install(ctx, cells[webhooks].client, cells[webhooks].creates(admission.Ordinary())); err != nil {
		return err
	}
	return measure(ctx, cells, rounds, requests)
}

// record profiles the server while clients create ordinary pods.
func record(ctx context.Context, c *cell, path string) error {
	const seconds = 10
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with the profile
		for ctx.Err() == nil {
			_, _ = admission.Run(ctx, 4, 400, c.creates(admission.Ordinary())) // cancelled in the middle
		}
	}()
	text, err := c.client.RESTClient().Get().AbsPath("/debug/pprof/profile").Param("seconds", fmt.Sprint(seconds)).DoRaw(ctx)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

func measure(ctx context.Context, cells [servers]*cell, rounds, requests int) error {
	fmt.Println("| pod | clients | no policy p50, p99 | one policy | 100 policies | webhooks | added p50 | added p99 | 100 to one, p50 |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|")
	met, hundredMet := true, true
	for _, p := range []struct {
		name string
		pod  *corev1.Pod
	}{{"ordinary", admission.Ordinary()}, {"agent", admission.Agent()}} {
		for _, clients := range []int{1, 10, 50} {
			blocks, err := interleave(ctx, cells, rounds, requests, clients, p.pod)
			if err != nil {
				return err
			}
			p50, usable50 := admission.Added(0.5, blocks[none], blocks[one], blocks[webhooks])
			p99, usable99 := admission.Added(0.99, blocks[none], blocks[one], blocks[webhooks])
			many, usableMany := admission.Added(0.5, blocks[none], blocks[hundred], blocks[one])
			fmt.Printf("| %s | %d |", p.name, clients)
			for _, b := range blocks {
				fmt.Printf(" %.1f, %.1f ms |", admission.Median(0.5, b).Seconds()*1e3, admission.Median(0.99, b).Seconds()*1e3)
			}
			fmt.Printf(" %.2f of the webhooks' (%d rounds) | %.2f (%d rounds) | %.2f (%d rounds) |\n", p50, usable50, p99, usable99, many, usableMany)
			met = met && usable50 > rounds/2 && usable99 > rounds/2 && p50 <= 0.5 && p99 <= 1
			hundredMet = hundredMet && usableMany > rounds/2 && many <= 2
		}
	}
	fmt.Println("100 policies at most twice the cost of one:", verdict(hundredMet))
	fmt.Println("added p50 at most half of the webhooks', added p99 no more than theirs:", verdict(met))
	return nil
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "not met"
}

// interleave runs the rounds of one line of the table, after one that warms up.
func interleave(ctx context.Context, cells [servers]*cell, rounds, requests, clients int, pod *corev1.Pod) (blocks [servers][]admission.Block, err error) {
	for round := range rounds + 1 {
		for i, c := range cells {
			b, err := admission.Run(ctx, clients, requests, c.creates(pod))
			if err != nil {
				return blocks, err
			}
			if round > 0 {
				blocks[i] = append(blocks[i], b)
			}
		}
	}
	return blocks, nil
}
