//! The lab without margay: its machines, its routers and its CNI caller are sound, so that a failing test means margay.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::cni::{Attachment, Network};
use e2e::plan::{FAMILIES, Family, OUTSIDE, Plan, RouterKind, Shape};
use e2e::programs::CNI_PLUGINS;
use e2e::router::{Config, Neighbour, Router};
use e2e::trial::Trial;
use e2e::{ip, reach, wait};
use serde_json::json;

const SOON: Duration = Duration::from_secs(15);

#[test]
fn nodes_reach_the_host_behind_the_router_in_every_shape() -> Result<()> {
    for shape in [Shape::Mesh, Shape::Tor, Shape::TwoTors, Shape::RouteReflector] {
        let trial = Trial::new(shape)?;
        trial.build_machines()?;
        for node in 1..=trial.plan.nodes {
            for family in FAMILIES {
                reach::ping(&trial.plan.node_netns(node), family.of(OUTSIDE), 1, SOON)?;
                reach::ping(&trial.plan.outside_netns(), trial.plan.node_ip(node, family), 1, SOON)?;
                reach::ping(&trial.plan.noroute_netns(), trial.plan.node_ip(node, family), 1, SOON)?;
            }
        }
    }
    Ok(())
}

#[test]
fn bird_and_frr_speak_with_each_other() -> Result<()> {
    let trial = Trial::new(Shape::TwoTors)?;
    trial.build_machines()?;
    // Two routers on the two ends of one uplink of node 1: the first is the lab's, the second stands in for the node.
    let mut frr = Plan::new(&trial.plan.prefix, Shape::TwoTors);
    frr.router = RouterKind::Frr;
    let (bird, frr) = (Router::of_lab(&trial.plan, 1), Router::of_lab(&frr, 2));
    let mut config = Config::of_tor(&trial.plan, 1);
    config.neighbour("n1_v4")?.password = Some("secret".into());
    config.neighbour("n1_v6")?.ttl_security = true;
    bird.start(&config)?;
    let link = trial.plan.uplink(1, 1);
    let neighbours = [("tor_v4", Family::V4), ("tor_v6", Family::V6)];
    let mut other = Config {
        id: "10.255.0.9".into(),
        asn: trial.plan.node_as(1),
        networks: vec!["10.244.1.0/24".into(), "fd00:244:0:1::/64".into()],
        neighbours: neighbours.map(|(name, family)| Neighbour::new(name, family.of(link.router), config.asn)).into(),
        graceful_restart: false,
    };
    other.neighbour("tor_v4")?.password = Some("secret".into());
    other.neighbour("tor_v6")?.ttl_security = true;
    frr.in_netns(trial.plan.node_netns(1)).start(&other)?;
    wait::until(SOON, "both sessions on both sides", || {
        ensure!(bird.established()?.len() == 2, "BIRD has {:?}", bird.established()?);
        ensure!(frr.established()?.len() == 2, "FRR has {:?}", frr.established()?);
        Ok(())
    })?;
    wait::until(SOON, "FRR's routes in BIRD and in the kernel", || {
        ensure!(bird.route("fd00:244:0:1::/64")?.contains("as_path"), "{}", bird.route("fd00:244:0:1::/64")?);
        let kernel = trial.plan.tor_netns(1).stdout("ip", &["route", "show", "10.244.1.0/24"])?;
        ensure!(kernel.contains("proto bird"), "{kernel:?}");
        Ok(())
    })
}

#[test]
fn the_cni_caller_runs_a_chain_of_plugins_as_the_spec_says() -> Result<()> {
    let trial = Trial::new(Shape::Tor)?;
    trial.build_machines()?;
    let ipam =
        json!({"type": "host-local", "subnet": "10.99.0.0/24", "dataDir": trial.plan.folder().join("host-local")});
    let network = Network {
        conflist: json!({"cniVersion": "1.0.0", "name": "caller", "plugins": [
            {"type": "ptp", "ipam": ipam},
            {"type": "portmap", "capabilities": {"portMappings": true}},
        ]}),
        path: vec![CNI_PLUGINS.into()],
        netns: trial.plan.node_netns(1),
        cache: trial.plan.folder().join("cni"),
    };
    let pod = trial.plan.pod_netns(1, "a");
    ip::batch(&[format!("netns add {}", pod.name())])?;
    let mut attachment = Attachment::of_container("caller", &pod);
    attachment.capabilities = json!({"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]});
    let result = network.add(&attachment)?;
    ensure!(result["ips"][0]["address"].as_str().is_some_and(|address| address.starts_with("10.99.0.")), "{result}");
    ensure!(
        result["interfaces"].as_array().is_some_and(|all| all.len() == 2),
        "portmap passes prevResult on: {result}"
    );
    let rules = trial.plan.node_netns(1).stdout("iptables-save", &["-t", "nat"])?;
    ensure!(rules.contains("--dport 8080"), "portmap got its mapping: {rules}");
    // Without the mapping: CHECK of portmap 1.1.1 looks for IPv6 rules that its own ADD did not make.
    network.check(&Attachment { capabilities: json!({}), ..attachment.clone() })?;
    network.del(&attachment)?;
    network.del(&attachment)
}

#[test]
fn a_lab_goes_away_without_a_trace_and_comes_up_again() -> Result<()> {
    let trial = Trial::new(Shape::Tor)?;
    for _ in 0..2 {
        trial.build_machines()?;
        trial.router(1).start(&Config::of_tor(&trial.plan, 1))?;
        let processes = trial.router(1).processes()?;
        ensure!(processes.iter().all(|process| process.runs()), "{processes:?}");
        trial.down()?;
        trial.down()?;
        ensure!(processes.iter().all(|process| !process.runs()), "{processes:?}");
        ensure!(!trial.plan.folder().exists() && !trial.plan.node_netns(1).exists(), "something is left");
    }
    Ok(())
}
