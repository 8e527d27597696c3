//! A hundred thousand routes from a router by BGP into the kernel, beside BIRD as the receiver.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::Figure;
use crate::lab::Lab;
use crate::netns::Netns;
use crate::plan::{Family, Plan, Shape};
use crate::programs::Programs;
use crate::router::{Config, Neighbour};
use crate::wait;

const ROUTES: usize = 100_000;
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) fn run(say: fn(&str)) -> Result<Vec<Figure>> {
    say(&format!("{ROUTES} routes by BGP into the kernel, and the same with BIRD in our place"));
    let plan = Plan::new("bench-table", Shape::Tor);
    let lab = Lab::new(plan, Programs::find()?, |_| {})?;
    let outcome = race(&lab);
    lab.down()?;
    let (ours, bird) = outcome?;
    Ok(vec![Figure {
        what: format!("{ROUTES} routes by BGP into the kernel"),
        ours: format!("{ours:.2} s"),
        beside: format!("BIRD {bird:.2} s"),
        ratio: ours / bird,
        promised: 1.0,
    }])
}

/// Seconds from the start of the receiver until its kernel has every route: BIRD on node 2, ours on node 1, in turns.
///
/// The first turn is BIRD's and does not count: the feeder has its own table to make first.
fn race(lab: &Lab) -> Result<(f64, f64)> {
    lab.build_machines()?;
    let mut config = Config::of_tor(&lab.plan, 1);
    config.networks.extend(
        (0..ROUTES).map(|number| format!("{}.{}.{}.0/24", 20 + number / 65536, number / 256 % 256, number % 256)),
    );
    lab.router(1).start(&config)?;
    lab.node(1).objects()?.write_all(&lab.plan)?;
    bird(lab)?;
    let ours = agent(lab)?;
    Ok((ours, bird(lab)?))
}

fn agent(lab: &Lab) -> Result<f64> {
    let node = lab.node(1);
    let start = Instant::now();
    node.start_agent()?;
    until_full(&node.netns, start)
}

fn bird(lab: &Lab) -> Result<f64> {
    let link = lab.plan.uplink(2, 1);
    let tor = Config::of_tor(&lab.plan, 1);
    let neighbours = vec![Neighbour::new("tor_v4", Family::V4.of(link.router), tor.asn)];
    let asn = lab.plan.node_as(2);
    let receiving = Config { id: "10.255.0.2".into(), asn, networks: Vec::new(), neighbours, graceful_restart: false };
    let receiver = lab.router(1).named("receiver").in_netns(lab.plan.node_netns(2));
    let start = Instant::now();
    receiver.start(&receiving)?;
    let seconds = until_full(receiver.netns(), start)?;
    receiver.stop()?;
    wait::until(PATIENCE, "BIRD to take its routes back", || {
        let left = prefixes(receiver.netns())?;
        ensure!(left < 1000, "{left} are left");
        Ok(())
    })?;
    Ok(seconds)
}

fn until_full(netns: &Netns, start: Instant) -> Result<f64> {
    wait::until(PATIENCE, "every route", || {
        let most = prefixes(netns)?;
        ensure!(most >= ROUTES, "{most} of {ROUTES}");
        Ok(())
    })?;
    Ok(start.elapsed().as_secs_f64())
}

/// How many prefixes the kernel's IPv4 table has.
fn prefixes(netns: &Netns) -> Result<usize> {
    let text = netns.run(|| Ok(std::fs::read_to_string("/proc/thread-self/net/fib_triestat")?))?;
    let counts = text.lines().filter_map(|line| line.trim().strip_prefix("Prefixes:"));
    counts.filter_map(|count| count.trim().parse::<usize>().ok()).max().context("no count of prefixes")
}
