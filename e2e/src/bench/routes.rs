//! A hundred thousand routes into the kernel, beside `ip -batch`.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use dataplane::actual::Actual;
use dataplane::diff::{self, Keys};
use dataplane::linux::netlink::Netlink;
use dataplane::linux::{nexthops, routes};
use dataplane::nexthop::Nexthops;
use dataplane::requests::Work;
use dataplane::want::{NextHop, NextHops, Route};
use dataplane::wanted::Wanted;
use model::Prefix;

use super::{Figure, median};
use crate::ip;
use crate::netns::Netns;

const ROUTES: u32 = 100_000;
const ROUNDS: usize = 3;
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 2);

pub(super) fn run(say: fn(&str)) -> Result<Vec<Figure>> {
    say(&format!("{ROUTES} routes into the kernel, {ROUNDS} rounds, taking turns with ip -batch"));
    let netns = Netns::named("bench-routes-n1");
    ip::batch(&[format!("netns add {}", netns.name())])?;
    let outcome = race(&netns);
    ip::batch(&[format!("netns del {}", netns.name())])?;
    let (mut ours, mut theirs) = outcome?;
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    Ok(vec![Figure {
        what: format!("{ROUTES} routes into the kernel"),
        ours: format!("{:.0} ms", ours * 1e3),
        beside: format!("ip -batch {:.0} ms", theirs * 1e3),
        ratio: ours / theirs,
        promised: 1.0 / 3.0,
    }])
}

fn race(netns: &Netns) -> Result<(Vec<f64>, Vec<f64>)> {
    let lines =
        ["link add v0 type veth peer name v1", "addr add 10.255.0.1/24 dev v0", "link set v0 up", "link set v1 up"];
    ip::batch_in(netns, &lines.map(String::from))?;
    let index = index_of(netns, "v0")?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(by_dataplane(netns, index)?);
        theirs.push(by_ip(netns)?);
    }
    Ok((ours, theirs))
}

fn index_of(netns: &Netns, name: &str) -> Result<u32> {
    let text = netns.stdout("ip", &["-o", "link", "show", name])?;
    text.split(':').next().and_then(|index| index.trim().parse().ok()).with_context(|| format!("no index in {text}"))
}

fn prefixes() -> impl Iterator<Item = Ipv4Addr> {
    (0..ROUTES).map(|number| Ipv4Addr::from(0x1400_0000 + number))
}

fn by_dataplane(netns: &Netns, index: u32) -> Result<f64> {
    let hop = NextHops::one(NextHop::via(IpAddr::V4(GATEWAY), index));
    let route = |address: Ipv4Addr| Route::unicast(Prefix::host(IpAddr::V4(address)), hop.clone());
    let want: Wanted = prefixes().map(route).collect();
    netns.run(|| {
        let mut netlink = Netlink::route()?;
        let actual = Actual { nexthops: nexthops::read(&mut netlink)?.map(Nexthops::new), ..Actual::default() };
        let start = Instant::now();
        let work = Work::new(diff::routes(&want, &actual, Keys::All).steps, &want, &actual);
        let failures = routes::apply(&mut netlink, &work, |_| {})?.failures;
        let took = start.elapsed().as_secs_f64();
        ensure!(failures.is_empty(), "{} of our routes failed: {:?}", failures.len(), failures.first());
        // Objects take their routes with them.
        for line in ["nexthop flush proto 109", "route flush proto 109"] {
            netns.stdout("ip", &line.split(' ').collect::<Vec<_>>())?;
        }
        Ok(took)
    })
}

fn by_ip(netns: &Netns) -> Result<f64> {
    let lines: Vec<String> =
        prefixes().map(|address| format!("route add {address}/32 via {GATEWAY} dev v0 proto 80 metric 1024")).collect();
    let start = Instant::now();
    ip::batch_in(netns, &lines)?;
    let took = start.elapsed().as_secs_f64();
    netns.stdout("ip", &["route", "flush", "proto", "80"])?;
    Ok(took)
}
