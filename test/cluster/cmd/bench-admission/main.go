// Command bench-admission measures, interleaved on three API servers, the
// creation of pods without a policy, with one policy for each rule of the
// catalogue, and with webhooks that do nothing. Its last line is the verdict.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/bulkhead-dev/bulkhead/risk/rules"
	"github.com/bulkhead-dev/bulkhead/test/cluster/admission"
	"github.com/bulkhead-dev/bulkhead/test/cluster/apiserver"
	"github.com/bulkhead-dev/bulkhead/test/cluster/parity"
)

func main() {
	rounds := flag.Int("rounds", 10, "interleaved rounds")
	requests := flag.Int("requests", 200, "requests of a round at each server")
	flag.Parse()
	if err := run(context.Background(), *rounds, *requests); err != nil {
		fmt.Fprintln(os.Stderr, "bench-admission:", err)
		os.Exit(1)
	}
}

// cell is one server; create makes a pod there, as a server-side dry run.
type cell struct {
	kubeconfig string
	client     *kubernetes.Clientset
}

func (c *cell) create(ctx context.Context) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-", Labels: map[string]string{"app": "bench"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "registry.example/app:1"}}},
	}
	_, err := c.client.CoreV1().Pods(parity.Namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// start runs the three servers; stop ends what was started.
func start(ctx context.Context, dir string) (cells [3]*cell, stop func(), err error) {
	var servers []*apiserver.Server
	stop = func() {
		for _, s := range servers {
			_ = s.Stop() //nolint:errcheck // the programs are killed; the figures are printed by now
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
		servers = append(servers, s)
		config, err := clientcmd.BuildConfigFromFlags("", s.Kubeconfig())
		if err != nil {
			return cells, stop, err
		}
		config.QPS, config.Burst, config.WarningHandler = -1, -1, rest.NoWarnings{}
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return cells, stop, err
		}
		cells[i] = &cell{s.Kubeconfig(), client}
	}
	return cells, stop, nil
}

func run(ctx context.Context, rounds, requests int) error {
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
	c, err := rules.Source()
	if err != nil {
		return err
	}
	// Each server gets the namespace that parity prepares; only the second keeps rules.
	empty := &rules.Catalogue{}
	for i, catalogue := range []*rules.Catalogue{empty, c, empty} {
		if _, err := parity.Install(ctx, cells[i].kubeconfig, catalogue, func(*admissionv1.ValidatingAdmissionPolicy) {}); err != nil {
			return err
		}
	}
	hook := admission.NewWebhook()
	defer hook.Close()
	if err := hook.Install(ctx, cells[2].client, cells[2].create); err != nil {
		return err
	}
	return measure(ctx, cells, rounds, requests)
}

func measure(ctx context.Context, cells [3]*cell, rounds, requests int) error {
	fmt.Println("| clients | no policy p50, p99 | policies | webhooks | added p50 | added p99 |\n|---:|---:|---:|---:|---:|---:|")
	met := true
	for _, clients := range []int{1, 10, 50} {
		var blocks [3][]admission.Block
		for round := range rounds + 1 {
			for i, c := range cells {
				b, err := admission.Run(ctx, clients, requests, c.create)
				if err != nil {
					return err
				}
				if round > 0 { // the first one warms up
					blocks[i] = append(blocks[i], b)
				}
			}
		}
		p50, usable50 := admission.Added(0.5, blocks[0], blocks[1], blocks[2])
		p99, usable99 := admission.Added(0.99, blocks[0], blocks[1], blocks[2])
		fmt.Printf("| %d |", clients)
		for _, b := range blocks {
			last := b[len(b)-1]
			fmt.Printf(" %.1f, %.1f ms |", last.Quantile(0.5).Seconds()*1e3, last.Quantile(0.99).Seconds()*1e3)
		}
		fmt.Printf(" %.2f of the webhooks' (%d rounds) | %.2f (%d rounds) |\n", p50, usable50, p99, usable99)
		met = met && usable50 > rounds/2 && usable99 > rounds/2 && p50 <= 0.5 && p99 <= 1
	}
	verdict := "not met"
	if met {
		verdict = "met"
	}
	fmt.Println("added p50 at most half of the webhooks', added p99 no more than theirs:", verdict)
	return nil
}
