// The conformance tests of ClusterNetworkPolicy, by sig-network's network-policy-api, with less patience than upstream's runner.
package policy

import (
	"os"
	"testing"
	"time"

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
		Client:               c,
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
