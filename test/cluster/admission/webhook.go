// Package admission measures what admission adds to the creation of a pod on a
// real API server, beside webhooks that do nothing: the floor of any webhook engine.
package admission

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"time"

	admissionapi "k8s.io/api/admission/v1"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Webhook is a server on loopback, with TLS and kept connections, that allows
// everything and changes nothing.
type Webhook struct {
	server *httptest.Server
	calls  atomic.Int64
}

// NewWebhook starts one; Close ends it.
func NewWebhook() *Webhook {
	w := &Webhook{}
	w.server = httptest.NewTLSServer(http.HandlerFunc(w.allow))
	return w
}

// Close ends the server.
func (w *Webhook) Close() { w.server.Close() }

func (w *Webhook) allow(out http.ResponseWriter, in *http.Request) {
	var review admissionapi.AdmissionReview
	if err := json.NewDecoder(in.Body).Decode(&review); err != nil || review.Request == nil {
		http.Error(out, "no AdmissionReview", http.StatusBadRequest)
		return
	}
	w.calls.Add(1)
	review.Response = &admissionapi.AdmissionResponse{UID: review.Request.UID, Allowed: true}
	review.Request = nil
	out.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(out).Encode(review) // the API server reports a reply that it cannot read
}

// Install registers it as a mutating and a validating webhook of pod creation,
// and returns when create, which creates a pod, has reached both.
func (w *Webhook) Install(ctx context.Context, client kubernetes.Interface, create func(context.Context) error) error {
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: w.server.Certificate().Raw})
	config := admissionv1.WebhookClientConfig{URL: &w.server.URL, CABundle: ca}
	pods := []admissionv1.RuleWithOperations{{
		Operations: []admissionv1.OperationType{admissionv1.Create},
		Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
	}}
	fail, none := admissionv1.Fail, admissionv1.SideEffectClassNone
	meta := metav1.ObjectMeta{Name: "noop.bulkhead.dev"}
	api := client.AdmissionregistrationV1()
	_, err := api.MutatingWebhookConfigurations().Create(ctx, &admissionv1.MutatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionv1.MutatingWebhook{{
		Name: meta.Name, ClientConfig: config, Rules: pods, FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
	}}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	_, err = api.ValidatingWebhookConfigurations().Create(ctx, &admissionv1.ValidatingWebhookConfiguration{ObjectMeta: meta, Webhooks: []admissionv1.ValidatingWebhook{{
		Name: meta.Name, ClientConfig: config, Rules: pods, FailurePolicy: &fail, SideEffects: &none, AdmissionReviewVersions: []string{"v1"},
	}}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return w.await(ctx, create)
}

// pause is the time between two tries.
func pause(ctx context.Context) {
	select {
	case <-time.After(50 * time.Millisecond):
	case <-ctx.Done():
	}
}

// await creates pods until one of them makes both calls.
func (w *Webhook) await(ctx context.Context, create func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		before := w.calls.Load()
		if err := create(ctx); err != nil {
			return err
		}
		if w.calls.Load() == before+2 {
			return nil
		}
		pause(ctx)
	}
	return errors.New("the API server does not call the webhooks")
}
