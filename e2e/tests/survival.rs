//! What margay survives: its own death, the router's, and the loss of a link, while pods talk.

use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::monitor::Monitor;
use e2e::plan::{FAMILIES, Shape};
use e2e::reach;
use e2e::router::Config;
use e2e::traffic::Traffic;
use e2e::trial::Trial;
use e2e::{ip, wait};

const SOON: Duration = Duration::from_secs(20);
/// Prefixes of pods, as a route's line begins: `10.244.2.0/24`, `fd00:244:0:2::/64`.
const PODS: [&str; 2] = ["10.244.", "fd00:244:"];

/// Each node has its route to the other's pods: the default route would carry them too, and hide that one is missing.
fn settled(trial: &Trial) -> Result<()> {
    for (node, other) in [(1, 2), (2, 1)] {
        let (v4, v6) = trial.plan.pod_cidrs(other);
        for prefix in [v4, v6] {
            wait::until(SOON, &format!("n{node}'s route to {prefix}"), || {
                ensure!(trial.node(node).kernel_routes(&prefix)?.len() == 1, "not there");
                Ok(())
            })?;
        }
    }
    Ok(())
}

fn pod_traffic(trial: &Trial) -> Result<Vec<Traffic>> {
    settled(trial)?;
    let mut streams = Vec::new();
    for family in FAMILIES {
        let target = trial.pod_ip(2, "a", family)?;
        reach::ping(&trial.plan.pod_netns(1, "a"), target, 1, SOON)?;
        streams.push(Traffic::start(trial.plan.folder(), &trial.plan.pod_netns(1, "a"), target)?);
    }
    Ok(streams)
}

fn nothing_lost(streams: Vec<Traffic>) -> Result<()> {
    for stream in streams {
        let (answers, lost) = stream.stop()?;
        ensure!(lost == 0, "{lost} of {} packets are lost", answers + lost);
    }
    Ok(())
}

#[test]
fn kill_9_of_the_agent_loses_no_packet_and_rewrites_no_route() -> Result<()> {
    let trial = Trial::up(Shape::Tor)?;
    let streams = pod_traffic(&trial)?;
    let machines = [trial.plan.node_netns(1), trial.plan.node_netns(2), trial.plan.tor_netns(1)];
    let folder = trial.plan.folder();
    let monitors: Vec<Monitor> = machines.iter().map(|netns| Monitor::start(&folder, netns)).collect::<Result<_>>()?;
    for _ in 0..2 {
        trial.node(1).agent()?.kill()?;
        streams[0].flows(50, SOON)?;
        trial.node(1).start_agent()?;
        trial.node(1).ctl().wait_established(2, SOON)?;
    }
    streams[1].flows(100, SOON)?;
    for (monitor, netns) in monitors.iter().zip(&machines) {
        for pods in PODS {
            let changes = monitor.changes(pods)?;
            ensure!(changes.is_empty(), "routes of {} were rewritten: {changes:#?}", netns.name());
        }
    }
    nothing_lost(streams)
}

#[test]
fn a_stop_of_the_agent_loses_no_packet() -> Result<()> {
    let trial = Trial::up(Shape::Tor)?;
    let streams = pod_traffic(&trial)?;
    trial.node(1).agent()?.stop()?;
    streams[0].flows(50, SOON)?;
    trial.node(1).start_agent()?;
    trial.node(1).ctl().wait_established(2, SOON)?;
    streams[1].flows(100, SOON)?;
    nothing_lost(streams)
}

#[test]
fn a_router_that_restarts_gracefully_costs_no_packet() -> Result<()> {
    let trial = Trial::new(Shape::Tor)?;
    trial.up()?;
    let router = trial.router(1);
    let config = Config { graceful_restart: true, ..Config::of_tor(&trial.plan, 1) };
    router.stop()?;
    router.start(&config)?;
    trial.node(1).ctl().wait_established(2, SOON)?;
    trial.node(2).ctl().wait_established(2, SOON)?;
    let streams = pod_traffic(&trial)?;
    let monitor = Monitor::start(&trial.plan.folder(), &trial.plan.node_netns(1))?;
    router.kill()?;
    streams[0].flows(50, SOON)?;
    router.start_again()?;
    for node in 1..=2 {
        trial.node(node).ctl().wait_established(2, SOON)?;
    }
    streams[1].flows(100, SOON)?;
    for pods in PODS {
        let changes = monitor.changes(pods)?;
        ensure!(changes.is_empty(), "routes were rewritten: {changes:#?}");
    }
    nothing_lost(streams)
}

#[test]
fn a_router_that_was_away_is_peered_with_again_and_its_routes_return() -> Result<()> {
    let trial = Trial::up(Shape::Tor)?;
    let (cidr, _) = trial.plan.pod_cidrs(2);
    trial.router(1).stop()?;
    wait::until(SOON, "the routes of a router that said goodbye go", || {
        ensure!(trial.node(1).kernel_routes(&cidr)?.is_empty(), "it is still there");
        Ok(())
    })?;
    trial.router(1).start_again()?;
    trial.node(1).ctl().wait_established(2, SOON)?;
    for family in FAMILIES {
        reach::ping(&trial.plan.pod_netns(1, "a"), trial.pod_ip(2, "a", family)?, 3, SOON)?;
    }
    Ok(())
}

#[test]
fn an_uplink_that_was_down_carries_pods_again() -> Result<()> {
    let trial = Trial::up(Shape::Tor)?;
    let node = trial.plan.node_netns(1);
    ip::batch_in(&node, &["link set eth0 down".into()])?;
    let down = reach::once(&trial.plan.pod_netns(1, "a"), trial.pod_ip(2, "a", FAMILIES[0])?, 1);
    ensure!(down.is_err(), "the uplink is down, and yet pods talk");
    ip::batch_in(&node, &["link set eth0 up".into()])?;
    for family in FAMILIES {
        reach::ping(&trial.plan.pod_netns(1, "a"), trial.pod_ip(2, "a", family)?, 3, SOON)?;
    }
    trial.node(1).ctl().wait_established(2, SOON)?;
    Ok(())
}

#[test]
fn frr_keeps_our_routes_over_our_restart_too() -> Result<()> {
    let trial = Trial::up_with_frr(Shape::Tor)?;
    settled(&trial)?;
    // IPv4 only: to refresh an IPv6 route, zebra deletes and adds it, whoever its peer is.
    let target = trial.pod_ip(2, "a", FAMILIES[0])?;
    reach::ping(&trial.plan.pod_netns(1, "a"), target, 1, SOON)?;
    let stream = Traffic::start(trial.plan.folder(), &trial.plan.pod_netns(1, "a"), target)?;
    let monitor = Monitor::start(&trial.plan.folder(), &trial.plan.tor_netns(1))?;
    trial.node(1).agent()?.kill()?;
    stream.flows(50, SOON)?;
    trial.node(1).start_agent()?;
    trial.node(1).ctl().wait_established(2, SOON)?;
    stream.flows(100, SOON)?;
    let changes = monitor.changes(PODS[0])?;
    ensure!(changes.is_empty(), "the router changed its routes: {changes:#?}");
    nothing_lost(vec![stream])
}

#[test]
fn one_of_two_routers_may_die_while_pods_talk() -> Result<()> {
    let trial = Trial::up(Shape::TwoTors)?;
    let (cidr, _) = trial.plan.pod_cidrs(2);
    trial.router(2).stop()?;
    ip::batch_in(&trial.plan.tor_netns(2), &["link set n1 down".into(), "link set n2 down".into()])?;
    for family in FAMILIES {
        reach::ping(&trial.plan.pod_netns(1, "a"), trial.pod_ip(2, "a", family)?, 5, SOON)?;
    }
    let row = trial.node(1).ctl().route(&cidr)?;
    ensure!(row["nextHops"].as_array().is_some_and(|hops| hops.len() == 1), "{row}");
    Ok(())
}
