//! Service addresses that margay announces: reached from behind the router, and following their endpoints.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use cluster::cluster::Cluster;
use cluster::plan::OUTSIDE;
use cluster::trial::{Company, PORT, SOON, Trial, until};
use serde_json::{Value, json};

/// Announced as a whole by every node.
const BLOCK: &str = "198.51.100.0/24";
/// Of a Service with traffic policy Local.
const LOCAL: &str = "198.51.100.10";
/// Of one with traffic policy Cluster.
const SHARED: &str = "198.51.100.11";

/// What BGPConfiguration default says of services, beside whatever else it says.
fn announce(cluster: &Cluster, blocks: &Value) -> Result<()> {
    let configuration = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "BGPConfiguration",
        "metadata": {"name": "default"}, "spec": {"serviceLoadBalancerIPs": blocks},
    });
    let server_side = ["apply", "--server-side", "--force-conflicts", "--field-manager=trial"];
    cluster.kubectl.feed(&server_side, &configuration.to_string())?;
    Ok(())
}

/// A Service for pods labelled `app: web`, with an address as a controller of load balancers gives it.
fn balanced(trial: &Trial, name: &str, policy: &str, address: &str) -> Result<()> {
    trial.apply(&[json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {
            "type": "LoadBalancer", "externalTrafficPolicy": policy, "selector": {"app": "web"},
            "ports": [{"port": 80, "targetPort": PORT}],
        },
    })])?;
    let status = json!({"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}).to_string();
    trial.kubectl(&["patch", "service", name, "--subresource=status", "--type=merge", "-p", &status])?;
    Ok(())
}

fn web(name: &str, node: &str) -> Value {
    let mut pod = Trial::server(name, node);
    pod["metadata"]["labels"]["app"] = "web".into();
    pod
}

fn all_see(answers: &[String], client: Ipv4Addr) -> Result<()> {
    let strange: Vec<_> = answers.iter().filter(|seen| seen.split(':').next() != Some(&client.to_string())).collect();
    ensure!(strange.is_empty(), "they saw {strange:?} instead of {client}");
    Ok(())
}

fn addresses_follow(trial: &Trial) -> Result<()> {
    trial.afterwards("no address is announced", |cluster| announce(cluster, &json!([])));
    announce(&trial.cluster, &json!([{"cidr": BLOCK}]))?;
    balanced(trial, "local", "Local", LOCAL)?;
    balanced(trial, "shared", "Cluster", SHARED)?;
    trial.run(&[web("web-1", "n1")])?;
    trial.router_reaches(BLOCK, &["n1", "n2", "n3"])?;
    trial.router_reaches(LOCAL, &["n1"])?;
    trial.router_reaches(SHARED, &[])?;
    let clientip = format!("{LOCAL}/clientip");
    let questions = [clientip.clone(), clientip.clone(), clientip];
    let seen = until(SOON, "an answer from the address of policy Local", || trial.ask_from_outside(&questions))?;
    all_see(&seen, OUTSIDE)?;
    let answers = trial.ask_from_outside(&[format!("{SHARED}/hostname")])?;
    ensure!(answers == ["web-1"], "{answers:?}, by the block");

    trial.run(&[web("web-2", "n2")])?;
    trial.router_reaches(LOCAL, &["n1", "n2"])?;
    trial.delete(&["pod", "web-1"])?;
    trial.router_reaches(LOCAL, &["n2"])?;
    let answers = until(SOON, "an answer from the endpoint that has moved", || {
        trial.ask_from_outside(&[format!("{LOCAL}/hostname"), format!("{LOCAL}/clientip")])
    })?;
    ensure!(answers.first().is_some_and(|answer| answer == "web-2"), "{answers:?}");
    all_see(answers.get(1..).unwrap_or_default(), OUTSIDE)?;
    let shown = trial.cluster.margayctl("n1", &["service", "show", &format!("{}/local", trial.namespace)])?;
    ensure!(shown.contains("no endpoint on this node is ready"), "{shown}");
    trial.delete(&["pod", "web-2"])?;
    trial.router_reaches(LOCAL, &[])
}

#[test]
fn a_load_balancers_address_is_reached_where_its_endpoint_is_and_the_client_is_seen() -> Result<()> {
    // It changes what every node announces.
    let trial = Trial::new(Company::None)?;
    addresses_follow(&trial)?;
    trial.undo()?;
    trial.router_reaches(BLOCK, &[])
}
