//! Service addresses in front of a router: who announces them, and that they follow the endpoints.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::plan::{Plan, Shape};
use e2e::trial::Trial;
use e2e::wait;

const A_SECOND: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(20);

const BLOCK: &str = "203.0.113.0/24";
const ADDRESS: &str = "203.0.113.10";

/// A Service whose traffic policy is Local.
const SERVICE: &str = "apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  clusterIP: 10.96.0.10
  externalIPs: [203.0.113.10]
  externalTrafficPolicy: Local
";

/// Its endpoints: one on each node, ready or not.
fn slice(ready: [bool; 2]) -> String {
    let [one, two] = ready;
    format!(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: web-1, namespace: shop, labels: {{kubernetes.io/service-name: web}}}}
addressType: IPv4
endpoints:
- {{addresses: [10.244.1.5], nodeName: n1, conditions: {{ready: {one}}}}}
- {{addresses: [10.244.2.5], nodeName: n2, conditions: {{ready: {two}}}}}
"
    )
}

/// The same object on every node, as the nodes of a cluster see the same.
fn everywhere(trial: &Trial, name: &str, yaml: &str) -> Result<()> {
    (1..=trial.plan.nodes).try_for_each(|node| trial.node(node).objects()?.write(name, yaml))
}

fn gateway(plan: &Plan, node: usize) -> String {
    plan.uplink(node, 1).host.0.to_string()
}

/// The nodes by which the router's kernel reaches a prefix.
fn reached_by(trial: &Trial, prefix: &str) -> Result<Vec<usize>> {
    let routes = trial.router(1).netns().stdout("ip", &["route", "show", prefix])?;
    let gateways: Vec<&str> = routes.split_whitespace().collect();
    Ok((1..=trial.plan.nodes).filter(|node| gateways.contains(&gateway(&trial.plan, *node).as_str())).collect())
}

fn wait_reached_by(trial: &Trial, within: Duration, prefix: &str, nodes: &[usize]) -> Result<()> {
    wait::until(within, &format!("the router reaches {prefix} by nodes {nodes:?}"), || {
        let by = reached_by(trial, prefix)?;
        ensure!(by == nodes, "by {by:?}; BIRD says {:?}", trial.router(1).route(prefix));
        Ok(())
    })
}

#[test]
fn the_router_reaches_a_local_service_by_the_nodes_with_a_ready_endpoint_alone() -> Result<()> {
    let trial = Trial::planned(Shape::Mesh, |plan| plan.pods.clear())?;
    trial.up()?;
    let configuration = trial.node(1).objects()?.read("bgp-default")?;
    let with_blocks = format!("{configuration}  serviceExternalIPs: [{{cidr: {BLOCK}}}]\n");
    everywhere(&trial, "bgp-default", &with_blocks)?;
    everywhere(&trial, "service", SERVICE)?;
    everywhere(&trial, "endpoints", &slice([true, true]))?;
    wait_reached_by(&trial, SOON, BLOCK, &[1, 2])?;
    wait_reached_by(&trial, SOON, ADDRESS, &[1, 2])?;

    everywhere(&trial, "endpoints", &slice([false, true]))?;
    wait_reached_by(&trial, A_SECOND, ADDRESS, &[2])?;
    let shown = trial.node(1).ctl().json(&["service", "show", "shop/web"])?;
    let address = &shown["services"][0]["addresses"][1];
    ensure!(address["address"] == ADDRESS && address["advertised"].is_null(), "{shown}");
    ensure!(address["reason"].as_str().is_some_and(|why| why.contains("no endpoint on this node")), "{shown}");
    // The other node said so in the mesh, too; packets to it are for the kube-proxy of this one all the same.
    let why = wait::until(SOON, "node 1 has heard of the address", || {
        let why = trial.node(1).ctl().json(&["route", "why", ADDRESS])?;
        ensure!(why["paths"].as_array().is_some_and(|paths| !paths.is_empty()), "{why}");
        Ok(why)
    })?;
    ensure!(why["verdict"].as_str().is_some_and(|verdict| verdict.contains(BLOCK)), "{why}");
    ensure!(trial.node(1).kernel_routes(ADDRESS)?.is_empty(), "node 1 has it in its kernel");

    everywhere(&trial, "endpoints", &slice([true, false]))?;
    wait_reached_by(&trial, A_SECOND, ADDRESS, &[1])?;
    (1..=2).try_for_each(|node| trial.node(node).objects()?.remove("endpoints"))?;
    wait_reached_by(&trial, A_SECOND, ADDRESS, &[])?;
    ensure!(reached_by(&trial, BLOCK)? == [1, 2], "the block stays");
    Ok(())
}
