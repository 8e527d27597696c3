//! Who reaches whom: pods, nodes and a host behind the router, each with its own address where there is no reason to hide it.

use std::process::Command;

use anyhow::{Result, ensure};
use cluster::plan::OUTSIDE;
use cluster::trial::{Company, PORT, Pod, SOON, Trial, until};
use e2e::process::Process;

/// Of the servers in the nodes' own network.
const NODE_PORT: u16 = 18080;

/// Two pods on every node.
fn two_on_each(trial: &Trial) -> Result<Vec<Pod>> {
    let nodes = &trial.cluster.plan.nodes;
    let pods: Vec<_> =
        nodes.iter().flat_map(|node| ["a", "b"].map(|name| Trial::server(&format!("{node}-{name}"), node))).collect();
    trial.run(&pods)
}

fn client_ip(pods: &[Pod]) -> Vec<String> {
    pods.iter().map(|pod| format!("{}:{PORT}/clientip", pod.ip)).collect()
}

fn all_saw(answers: &[String], address: &str) -> Result<()> {
    let strange: Vec<_> = answers.iter().filter(|seen| seen.split(':').next() != Some(address)).collect();
    ensure!(strange.is_empty(), "they saw {strange:?} instead of {address}");
    Ok(())
}

#[test]
fn pods_reach_pods_on_their_own_and_on_other_nodes_and_are_seen_with_their_own_address() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    let pods = two_on_each(&trial)?;
    ensure!(pods.len() == 6, "{pods:?}");
    for pod in &pods {
        all_saw(&trial.ask(pod, &client_ip(&pods))?, &pod.ip)?;
    }
    Ok(())
}

#[test]
fn nodes_reach_pods_and_pods_reach_nodes() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    let nodes = trial.cluster.plan.nodes.clone();
    let of_nodes = nodes.iter().map(|node| Trial::server_in_host_network(&format!("host-{node}"), node, NODE_PORT));
    let of_pods = nodes.iter().map(|node| Trial::server(&format!("pod-{node}"), node));
    let all = trial.run(&of_nodes.chain(of_pods).collect::<Vec<_>>())?;
    let (hosts, pods): (Vec<Pod>, Vec<Pod>) = all.into_iter().partition(|pod| pod.name.starts_with("host-"));
    let to_nodes: Vec<_> = hosts.iter().map(|host| format!("{}:{NODE_PORT}/clientip", host.ip)).collect();
    for pod in &pods {
        // By natOutgoing other nodes see the pod's node, as the world outside does.
        let seen = trial.ask(pod, &to_nodes)?;
        let own = trial.cluster.plan.node_ip(&pod.node)?.to_string();
        let strange =
            seen.iter().find(|seen| ![&own, &pod.ip].contains(&&seen.split(':').next().unwrap_or_default().to_owned()));
        ensure!(strange.is_none(), "{strange:?} asked instead of {} or {own}", pod.ip);
    }
    for node in &nodes {
        trial.ask_from_node(node, &client_ip(&pods))?;
    }
    Ok(())
}

#[test]
fn a_host_behind_the_router_reaches_pods_and_pods_reach_it() -> Result<()> {
    let trial = Trial::new(Company::Welcome)?;
    let pods = two_on_each(&trial)?;
    all_saw(&trial.ask_from_outside(&client_ip(&pods))?, &OUTSIDE.to_string())?;

    let plan = &trial.cluster.plan;
    let (name, log) = ("outside-server", plan.logs().join("outside-server.log"));
    let mut server = Command::new(plan.programs().join("agnhost"));
    server.args(["netexec", "--http-port=8080", "--udp-port=-1"]);
    let server = Process::start(&plan.processes(), name, &plan.outside(), &log, &mut server)?;
    trial.afterwards("no server outside", |_| server.stop());
    let question = [format!("{OUTSIDE}:8080/hostname")];
    until(SOON, "a server outside", || trial.ask_from_outside(&question))?;
    pods.iter().try_for_each(|pod| trial.ask(pod, &question).map(|_| ()))
}
