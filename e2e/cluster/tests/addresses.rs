//! Pools that are carved into blocks, on real kubelets: addresses from them, and one that follows its pod.

use anyhow::{Result, ensure};
use cluster::trial::{Company, PORT, SOON, Trial, until};
use serde_json::{Value, json};

/// Beside the pods' usual range, so that no pod CIDR touches it.
const POOL: &str = "10.50.0.0/24";
const NAME: &str = "carved";

/// A pod that asks for an address of the pool, and to keep it.
fn pod(node: &str) -> Value {
    let mut pod = Trial::server("db-0", node);
    pod["metadata"]["annotations"] = json!({
        "cni.projectcalico.org/ipv4pools": json!([NAME]).to_string(),
        "margay.projectcalico.org/keep-address": "1h",
    });
    pod
}

fn follows(trial: &Trial) -> Result<()> {
    let pool = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": {"name": NAME},
        "spec": {"cidr": POOL, "blockSize": 28, "assignmentMode": "Manual"},
    });
    trial.apply_to_cluster(&pool)?;
    let first = trial.run(&[pod("n1")])?.remove(0);
    ensure!(first.ip.starts_with("10.50.0."), "{first:?} is not of the pool");
    let question = [format!("{}:{PORT}/hostname", first.ip)];
    until(SOON, "an answer from the kept address", || trial.ask_from_outside(&question))?;
    let blocks = trial.cluster.kubectl.list(&["ipamblocks.projectcalico.org"])?;
    let keeps = |block: &Value| block.to_string().contains(&format!("margay-keep.{}.db-0", trial.namespace));
    ensure!(blocks.iter().any(keeps), "no block says that the address is kept: {blocks:?}");
    trial.delete(&["pod", "db-0"])?;
    let second = trial.run(&[pod("n2")])?.remove(0);
    ensure!(second.ip == first.ip && second.node == "n2", "{second:?} instead of {first:?}");
    trial.router_reaches(&first.ip, &["n2"])?;
    trial.ask_from_outside(&question)?;
    Ok(())
}

#[test]
fn a_pod_that_asks_for_it_keeps_its_address_on_another_node_and_the_router_follows() -> Result<()> {
    let trial = Trial::new(Company::None)?;
    let outcome = follows(&trial);
    if let Err(wrong) = &outcome {
        for node in ["n1", "n2"] {
            let status = trial.cluster.margayctl(node, &["ipam", "show", "--show-blocks"]);
            println!("{wrong:#}\n{node}: {}", status.unwrap_or_default());
        }
    }
    // No pod has an address of it when the pool goes.
    trial.delete(&["pod", "--all"])?;
    outcome
}
