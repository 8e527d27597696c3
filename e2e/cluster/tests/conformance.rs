//! Upstream's own specs of the network. What each promises is told by its name; the lists are in docs/cluster.md.

use std::time::Instant;

use anyhow::{Result, ensure};
use cluster::build::POLICY_CRD;
use cluster::conformance::Specs;
use cluster::figures;
use cluster::policy_api::{self, Counts};
use cluster::trial::{Company, Trial};

/// What every conformant cluster has to pass; none of them needs a cloud. They wait more than they work.
const CONFORMANCE: Specs = Specs { focus: r"\[sig-network\].*\[Conformance\]", count: 45, processes: 3, known: &[] };
/// Every one of NetworkPolicy: over TCP, UDP and SCTP, and of the API. They work: two thousand probes, each a process in a pod.
const NETWORK_POLICY: Specs = Specs { focus: r"\[sig-network\] Netpol", count: 50, processes: 3, known: &[] };

/// Beyond the standard fields of ClusterNetworkPolicy: ports by name, and nodes as peers.
const POLICY_API_FEATURES: &[&str] = &["ClusterNetworkPolicyNamedPorts", "ClusterNetworkPolicyEgressNodePeers"];
/// Steps of the tests of ClusterNetworkPolicy.
const POLICY_API: Counts = Counts { passed: 92, skipped: 0 };

fn pass(what: &str, specs: Specs) -> Result<()> {
    let trial = Trial::new(Company::None)?;
    let start = Instant::now();
    specs.pass(&trial.cluster.plan)?;
    figures::record(&trial.cluster.plan, what, &format!("{} specs, {} s", specs.count, start.elapsed().as_secs()))
}

#[test]
fn upstreams_network_conformance_specs_pass() -> Result<()> {
    pass("upstream's conformance specs", CONFORMANCE)
}

#[test]
fn upstreams_network_policy_specs_pass() -> Result<()> {
    pass("upstream's specs of NetworkPolicy", NETWORK_POLICY)
}

#[test]
fn the_conformance_tests_of_cluster_network_policy_pass() -> Result<()> {
    let trial = Trial::new(Company::None)?;
    let plan = &trial.cluster.plan;
    let definition = plan.programs().join(POLICY_CRD).display().to_string();
    trial.cluster.kubectl.text(&["apply", "--server-side", "-f", &definition])?;
    trial.afterwards("no ClusterNetworkPolicy", move |cluster| cluster.kubectl.delete(&["-f", &definition]));
    let start = Instant::now();
    let counts = policy_api::pass(plan, POLICY_API_FEATURES)?;
    ensure!(counts == POLICY_API, "{counts:?}: docs/cluster.md tells of another release");
    let value = format!("{} steps, {} s", counts.passed, start.elapsed().as_secs());
    figures::record(plan, "conformance tests of ClusterNetworkPolicy", &value)
}
