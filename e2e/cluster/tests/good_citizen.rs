//! What the agents say to the API server: conditions, annotations, events, and CalicoNodeStatus.

use anyhow::{Context, Result, ensure};
use cluster::trial::{Company, SOON, Trial, until};
use serde_json::{Value, json};

#[test]
fn every_node_says_that_it_has_a_network_and_where_it_is() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    let cluster = &trial.cluster;
    until(SOON, "what every node should say", || {
        for node in cluster.kubectl.list(&["nodes"])? {
            let name = node["metadata"]["name"].as_str().context("a node without a name")?;
            let conditions = node["status"]["conditions"].as_array().context("no conditions")?;
            let network = conditions.iter().find(|one| one["type"] == "NetworkUnavailable").context("not said")?;
            ensure!(network["status"] == "False" && network["reason"] == "MargayIsUp", "{name}: {network}");
            let address = format!("{}/24", cluster.plan.node_ip(name)?);
            ensure!(node["metadata"]["annotations"]["projectcalico.org/IPv4Address"] == *address, "{name}: {node}");
            let taints = node["spec"]["taints"].to_string();
            ensure!(!taints.contains("network-unavailable") && !taints.contains("margay"), "{name}: {taints}");
        }
        Ok(())
    })
}

#[test]
fn an_object_that_is_not_in_force_has_one_event_that_names_the_field() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    let name = format!("vxlan-{}", trial.namespace);
    let pool = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "IPPool", "metadata": {"name": name},
        "spec": {"cidr": "10.51.0.0/24", "vxlanMode": "Always", "disabled": true},
    });
    trial.apply_to_cluster(&pool)?;
    let told = until(SOON, "an event on the pool", || {
        let events = trial.cluster.kubectl.list(&["events.events.k8s.io", "--all-namespaces"])?;
        let about = |event: &&Value| event["regarding"]["name"] == *name;
        let about: Vec<&Value> = events.iter().filter(about).collect();
        ensure!(about.len() == 1, "{} events", about.len());
        Ok(about[0].to_string())
    })?;
    ensure!(told.contains("spec.vxlanMode") && told.contains("Warning"), "{told}");
    Ok(())
}

#[test]
fn a_calico_node_status_is_filled_by_the_node_that_it_names() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    let name = format!("n1-{}", trial.namespace);
    let asked = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "CalicoNodeStatus", "metadata": {"name": name},
        "spec": {"node": "n1", "classes": ["Agent", "BGP", "Routes"], "updatePeriodSeconds": 1},
    });
    trial.apply_to_cluster(&asked)?;
    until(SOON, "a status", || {
        let object = trial.cluster.kubectl.json(&["get", "caliconodestatuses.projectcalico.org", &name])?;
        let status = &object["status"];
        let sessions = status["bgp"]["numberEstablishedV4"].as_u64().context("no sessions")?;
        // Two other nodes and the router.
        ensure!(sessions == 3 && status["agent"]["birdV4"]["state"] == "Ready", "{status}");
        ensure!(status["routes"]["routesV4"].to_string().contains("10.244."), "{status}");
        Ok(())
    })
}
