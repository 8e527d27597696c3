//! What pods have on their nodes, beside the pods that the API server has there: the two agree once nothing is on its way.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::wait;
use serde_json::Value;

use crate::cluster::Cluster;
use crate::node::Node;

/// How many of each a node has; a pod with a network of its own has one of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traces {
    /// Addresses that the agent has given.
    pub leases: usize,
    /// Links in the node's namespace.
    pub links: usize,
    /// Routes to single pods.
    pub routes: usize,
    /// Network namespaces, the last thing that a runtime removes.
    pub namespaces: usize,
}

impl Traces {
    /// One of each for so many pods.
    fn of(pods: usize) -> Self {
        Self { leases: pods, links: pods, routes: pods, namespaces: pods }
    }

    fn on(cluster: &Cluster, node: &Node) -> Result<Self> {
        let list: Value = serde_json::from_str(&cluster.margayctl(&node.name, &["pod", "list", "-o", "json"])?)?;
        let leases = list.as_array().with_context(|| format!("no list of pods: {list}"))?.len();
        let count = |text: String, mark: &str| text.lines().filter(|line| line.contains(mark)).count();
        Ok(Self {
            leases,
            links: count(node.stdout(&["ip", "-o", "link", "show", "type", "veth"])?, "cali"),
            routes: count(node.stdout(&["ip", "route", "show"])?, "dev cali"),
            namespaces: namespaces(node)?,
        })
    }
}

fn namespaces(node: &Node) -> Result<usize> {
    Ok(node.stdout(&["ls", "/run/netns"])?.lines().filter(|name| name.starts_with("cni-")).count())
}

/// Pods with a network of their own that the API server has, by node. One that has ended has none any more.
fn pods(cluster: &Cluster) -> Result<BTreeMap<String, usize>> {
    let mut pods: BTreeMap<_, _> = cluster.plan.nodes.iter().map(|node| (node.clone(), 0)).collect();
    for pod in cluster.kubectl.list(&["pods", "--all-namespaces"])? {
        let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
        if let Some(count) = pod["spec"]["nodeName"].as_str().and_then(|node| pods.get_mut(node))
            && pod["spec"]["hostNetwork"] != true
            && !ended
        {
            *count += 1;
        }
    }
    Ok(pods)
}

/// Waits until every node has one of each for each of its pods, and nothing else.
pub fn settled(cluster: &Cluster, within: Duration) -> Result<BTreeMap<String, Traces>> {
    wait::until(within, "one lease, link, route and namespace for each pod", || {
        let mut all = BTreeMap::new();
        for (name, pods) in pods(cluster)? {
            let traces = Traces::on(cluster, &cluster.node(&name))?;
            ensure!(traces == Traces::of(pods), "{name} has {pods} pods, and {traces:?}");
            all.insert(name, traces);
        }
        Ok(all)
    })
}

/// The same of namespaces alone, which asks no agent.
pub fn namespaces_settled(cluster: &Cluster, within: Duration) -> Result<()> {
    wait::until(within, "one namespace for each pod", || {
        for (name, pods) in pods(cluster)? {
            let namespaces = namespaces(&cluster.node(&name))?;
            ensure!(namespaces == pods, "{name} has {pods} pods in {namespaces} namespaces");
        }
        Ok(())
    })
}
