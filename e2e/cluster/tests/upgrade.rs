//! A new version of the DaemonSet, and an agent that is killed: traffic and new pods go on.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cluster::pod_netns::PodNetns;
use cluster::trial::{Company, Pod, SOON, Trial};
use e2e::traffic::Traffic;
use serde_json::Value;

/// Long enough for three nodes, one after another.
const ROLLOUT: Duration = Duration::from_secs(180);

/// Pings from a pod to another node's pod, from outside to a pod, and between pods of one node.
fn traffic(trial: &Trial, pods: &[Pod], netns: &PodNetns) -> Result<Vec<Traffic>> {
    let plan = &trial.cluster.plan;
    let ip = |name: &str| -> Result<IpAddr> {
        let pod = pods.iter().find(|pod| pod.name == name).with_context(|| format!("no pod {name}"))?;
        Ok(pod.ip.parse()?)
    };
    Ok(vec![
        Traffic::start(plan.folder(), netns, ip("a-n1")?)?,
        Traffic::start(plan.folder(), netns, ip("a-n2")?)?,
        Traffic::start(plan.folder(), netns, ip("a-n3")?)?,
        Traffic::start(plan.folder(), &plan.outside(), ip("a-n2")?)?,
        Traffic::start(plan.folder(), &plan.node("n3"), ip("a-n1")?)?,
    ])
}

fn under_traffic(what: impl FnOnce(&Trial) -> Result<()>) -> Result<()> {
    let trial = Trial::new(Company::None)?;
    let nodes = ["n1", "n2", "n3"];
    let mut servers: Vec<Value> = nodes.iter().map(|node| Trial::server(&format!("a-{node}"), node)).collect();
    servers.push(Trial::server("from", "n1"));
    let pods = trial.run(&servers)?;
    let from = pods.iter().find(|pod| pod.name == "from").context("no pod from")?;
    let netns = PodNetns::of(&trial.cluster, from)?;
    let flows = traffic(&trial, &pods, &netns)?;
    what(&trial)?;
    let mut lost = Vec::new();
    for flow in &flows {
        flow.flows(100, SOON)?;
    }
    for flow in flows {
        let target = flow.target;
        let (answers, missing) = flow.stop()?;
        if missing > 0 {
            lost.push(format!("{missing} of {} to {target}", answers + missing));
        }
    }
    ensure!(lost.is_empty(), "lost packets: {lost:?}");
    Ok(())
}

#[test]
fn an_upgrade_of_the_daemonset_loses_no_packet_and_new_pods_start_meanwhile() -> Result<()> {
    under_traffic(|trial| {
        let cluster = &trial.cluster;
        let stamp = format!("MARGAY_TRIAL={}", std::process::id());
        let daemonset = ["-n", "kube-system", "set", "env", "daemonset/margay", &stamp];
        cluster.kubectl.text(&daemonset)?;
        // They are started while one agent after another is away, and have to be Ready after all.
        let late = cluster.plan.nodes.iter().map(|node| Trial::server(&format!("late-{node}"), node));
        trial.apply(&late.collect::<Vec<_>>())?;
        let timeout = format!("--timeout={}s", ROLLOUT.as_secs());
        cluster.kubectl.text(&["-n", "kube-system", "rollout", "status", "daemonset/margay", &timeout])?;
        trial.ready().map(|_| ())
    })
}

#[test]
fn kill_9_of_every_agent_at_once_loses_no_packet() -> Result<()> {
    under_traffic(|trial| {
        let cluster = &trial.cluster;
        for node in cluster.nodes() {
            node.stdout(&["pkill", "-9", "-x", "margay-agent"])?;
        }
        let timeout = format!("--timeout={}s", ROLLOUT.as_secs());
        cluster.kubectl.text(&["-n", "kube-system", "rollout", "status", "daemonset/margay", &timeout])?;
        trial.apply(&[Trial::server("late", "n3")])?;
        trial.ready().map(|_| ())
    })
}
