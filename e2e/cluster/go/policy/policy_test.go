// The conformance tests of ClusterNetworkPolicy, by sig-network's network-policy-api. Sockets of SCTP are taken out of its
// servers, whose pods would never be Ready on a kernel without it, and with them the tests that want them.
package policy

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "sigs.k8s.io/network-policy-api/apis/v1alpha2"
	"sigs.k8s.io/network-policy-api/conformance/tests"
	"sigs.k8s.io/network-policy-api/conformance/utils/config"
	"sigs.k8s.io/network-policy-api/conformance/utils/flags"
	"sigs.k8s.io/network-policy-api/conformance/utils/suite"
)

func TestConformance(t *testing.T) {
	kubeconfig, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	// Every probe is a request of its own.
	kubeconfig.QPS, kubeconfig.Burst = 100, 200
	c, err := client.New(kubeconfig, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := api.Install(c.Scheme()); err != nil {
		t.Fatal(err)
	}
	clientset, err := kubernetes.NewForConfig(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	s := suite.New(suite.Options{
		Client:               withoutSCTP{c},
		ClientSet:            clientset,
		KubeConfig:           *kubeconfig,
		CleanupBaseResources: *flags.CleanupBaseResources,
		SupportedFeatures:    suite.ParseSupportedFeatures(*flags.SupportedFeatures),
		ExemptFeatures:       suite.ParseSupportedFeatures(*flags.ExemptFeatures),
		NamespaceLabels:      map[string]string{"e2e-framework": "network-policy-api"},
		// A packet that is not there after a second was dropped: all nodes are one machine.
		TimeoutConfig: config.TimeoutConfig{RequestTimeout: time.Second, PokeTimeout: 20 * time.Second},
	})
	s.Setup(t)
	s.Run(t, tests.ConformanceTests)
}

// withoutSCTP makes pods without the containers that would listen on SCTP.
type withoutSCTP struct{ client.Client }

func (c withoutSCTP) Create(ctx context.Context, object client.Object, options ...client.CreateOption) error {
	if set, ok := object.(*unstructured.Unstructured); ok && set.GetKind() == "StatefulSet" {
		path := []string{"spec", "template", "spec", "containers"}
		all, _, err := unstructured.NestedSlice(set.Object, path...)
		if err != nil {
			return err
		}
		var kept []any
		for _, container := range all {
			if !listensOnSCTP(container) {
				kept = append(kept, container)
			}
		}
		if err := unstructured.SetNestedSlice(set.Object, kept, path...); err != nil {
			return err
		}
	}
	return c.Client.Create(ctx, object, options...)
}

func listensOnSCTP(container any) bool {
	fields, _ := container.(map[string]any)
	variables, _ := fields["env"].([]any)
	for _, variable := range variables {
		variable, _ := variable.(map[string]any)
		if name, _ := variable["name"].(string); strings.HasPrefix(name, "SERVE_SCTP_PORT_") {
			return true
		}
	}
	return false
}
