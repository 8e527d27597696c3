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

/// Seconds from the start of the receiver until its kernel has every route: ours on node 1, then BIRD on node 2.
fn race(lab: &Lab) -> Result<(f64, f64)> {
    lab.build_machines()?;
    let mut config = Config::of_tor(&lab.plan, 1);
    config.networks.extend(
        (0..ROUTES).map(|number| format!("{}.{}.{}.0/24", 20 + number / 65536, number / 256 % 256, number % 256)),
    );
    lab.router(1).start(&config)?;
    let node = lab.node(1);
    node.objects()?.write_all(&lab.plan)?;
    let start = Instant::now();
    node.start_agent()?;
    let ours = until_full(&node.netns, start)?;
    let link = lab.plan.uplink(2, 1);
    let neighbours = vec![Neighbour::new("tor_v4", Family::V4.of(link.router), config.asn)];
    let networks = Vec::new();
    let receiving =
        Config { id: "10.255.0.2".into(), asn: lab.plan.node_as(2), networks, neighbours, graceful_restart: false };
    let start = Instant::now();
    let receiver = lab.router(1).named("receiver").in_netns(lab.plan.node_netns(2));
    receiver.start(&receiving)?;
    let bird = until_full(receiver.netns(), start)?;
    Ok((ours, bird))
}

fn until_full(netns: &Netns, start: Instant) -> Result<f64> {
    wait::until(PATIENCE, "every route", || {
        let text = netns.run(|| Ok(std::fs::read_to_string("/proc/thread-self/net/fib_triestat")?))?;
        let counts = text.lines().filter_map(|line| line.trim().strip_prefix("Prefixes:"));
        let most =
            counts.filter_map(|count| count.trim().parse::<usize>().ok()).max().context("no count of prefixes")?;
        ensure!(most >= ROUTES, "{most} of {ROUTES}");
        Ok(())
    })?;
    Ok(start.elapsed().as_secs_f64())
}
