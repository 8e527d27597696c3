//! Peering by objects of the API server: passwords from Secrets, and nodes that become route reflectors.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use cluster::cluster::Cluster;
use cluster::trial::{Company, PORT, SOON, Trial, until};
use cluster::underlay;
use serde_json::{Value, json};

const PASSWORD: &str = "top secret";

/// Waits until the router has a session with every node.
fn router_has_every_node(cluster: &Cluster) -> Result<()> {
    until(SOON, "a session of every node with the router", || {
        let up = underlay::sessions(&cluster.plan)?;
        ensure!(up == cluster.plan.nodes.len(), "{up} are up");
        Ok(())
    })
}

/// Containers of the agents: another one after a restart.
fn agents(cluster: &Cluster) -> Result<BTreeSet<String>> {
    let pods = cluster.kubectl.list(&["pods", "-n", "kube-system", "-l", "app.kubernetes.io/name=margay"])?;
    let id = |pod: &Value| pod["status"]["containerStatuses"][0]["containerID"].as_str().map(str::to_owned);
    pods.iter().map(|pod| id(pod).context("an agent without a container")).collect()
}

/// What the nodes' BGPPeer for the router says of a password.
fn password(cluster: &Cluster, value: &Value) -> Result<()> {
    let patch = json!({"spec": {"password": value}}).to_string();
    let peer = ["patch", "bgppeers.projectcalico.org", "top-of-rack", "--type=merge", "-p", &patch];
    cluster.kubectl.text(&peer).map(|_| ())
}

#[test]
fn a_password_from_a_secret_is_spoken_with_the_router_and_changed_without_a_restart() -> Result<()> {
    let trial = Trial::new(Company::None)?;
    let cluster = &trial.cluster;
    let before = agents(cluster)?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bgp-secrets", "namespace": "kube-system"},
        "stringData": {"router": PASSWORD},
    });
    trial.apply_to_cluster(&secret)?;
    trial.afterwards("no password", |cluster| {
        let spoken = password(cluster, &Value::Null);
        underlay::set_router_password(&cluster.plan, None)?;
        spoken.and_then(|()| router_has_every_node(cluster))
    });
    password(cluster, &json!({"secretKeyRef": {"name": "bgp-secrets", "key": "router"}}))?;
    underlay::set_router_password(&cluster.plan, Some(PASSWORD))?;
    router_has_every_node(cluster)?;
    // A wrong one is noticed: the sessions were not simply left as they were.
    underlay::set_router_password(&cluster.plan, Some("another"))?;
    until(SOON, "the end of all sessions", || {
        let up = underlay::sessions(&cluster.plan)?;
        ensure!(up == 0, "{up} are up");
        Ok(())
    })?;
    let changed = json!({"stringData": {"router": "another"}}).to_string();
    cluster.kubectl.text(&["-n", "kube-system", "patch", "secret", "bgp-secrets", "-p", &changed])?;
    router_has_every_node(cluster)?;
    trial.undo()?;
    ensure!(agents(cluster)? == before, "agents were restarted");
    Ok(())
}

/// Names of the nodes that `node` has a session with.
fn neighbours(cluster: &Cluster, node: &str) -> Result<BTreeSet<String>> {
    let peers: Value = serde_json::from_str(&cluster.margayctl(node, &["bgp", "peers", "-o", "json"])?)?;
    let text = peers.to_string();
    let ip = |other: &String| Ok((other.clone(), cluster.plan.node_ip(other)?.to_string()));
    let nodes = cluster.plan.nodes.iter().map(ip).collect::<Result<Vec<_>>>()?;
    Ok(nodes.into_iter().filter(|(_, ip)| text.contains(&format!("\"{ip}\""))).map(|(name, _)| name).collect())
}

#[test]
fn nodes_labelled_as_route_reflectors_are_used_without_a_restart() -> Result<()> {
    let trial = Trial::new(Company::None)?;
    let cluster = &trial.cluster;
    let before = agents(cluster)?;
    let pods = trial.run(&["n1", "n2", "n3"].map(|node| Trial::server(&format!("on-{node}"), node)))?;
    let targets: Vec<_> = pods.iter().map(|pod| format!("{}:{PORT}/hostname", pod.ip)).collect();
    let all_reach = || pods.iter().try_for_each(|pod| trial.ask(pod, &targets).map(|_| ()));
    let peer = json!({
        "apiVersion": "projectcalico.org/v3", "kind": "BGPPeer", "metadata": {"name": "reflectors"},
        "spec": {"nodeSelector": "all()", "peerSelector": "route-reflector == 'true'"},
    });
    trial.apply_to_cluster(&peer)?;
    let key = "projectcalico.org/RouteReflectorClusterID";
    trial.afterwards("n1 reflects nothing", move |cluster| {
        let unlabelled = cluster.kubectl.text(&["label", "node", "n1", "route-reflector-"]);
        cluster.kubectl.text(&["annotate", "node", "n1", &format!("{key}-")]).and(unlabelled).map(|_| ())
    });
    cluster.kubectl.text(&["annotate", "node", "n1", &format!("{key}=244.0.0.1")])?;
    cluster.kubectl.text(&["label", "node", "n1", "route-reflector=true"])?;
    trial.apply_to_cluster(&json!({
        "apiVersion": "projectcalico.org/v3", "kind": "BGPConfiguration", "metadata": {"name": "default"},
        "spec": {"nodeToNodeMeshEnabled": false},
    }))?;
    until(SOON, "clients that know their reflector only", || {
        for client in ["n2", "n3"] {
            let known = neighbours(cluster, client)?;
            let own = BTreeSet::from([client.to_owned()]);
            let others: BTreeSet<_> = known.difference(&own).cloned().collect();
            ensure!(others == BTreeSet::from(["n1".to_owned()]), "{client} peers with {others:?}");
        }
        all_reach()
    })?;
    trial.undo()?;
    until(SOON, "the mesh again", || {
        let known = neighbours(cluster, "n2")?;
        ensure!(known.contains("n1") && known.contains("n3"), "n2 peers with {known:?}");
        all_reach()
    })?;
    ensure!(agents(cluster)? == before, "agents were restarted");
    Ok(())
}
