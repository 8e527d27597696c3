//! Who reaches whom: pings between namespaces, and the table that `make lab` shows.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::lab::Lab;
use crate::netns::Netns;
use crate::plan::{FAMILIES, Family, NOROUTE, OUTSIDE};
use crate::wait;

/// One way that has to be open.
#[derive(Debug, Clone)]
pub struct Way {
    /// What it shows.
    pub what: &'static str,
    /// From, for people.
    pub from: String,
    /// To, for people.
    pub to: String,
    /// Where the ping starts.
    pub netns: Netns,
    /// Its targets, IPv4 and IPv6.
    pub targets: [IpAddr; 2],
}

/// What a ping measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ping {
    /// Requests without an answer.
    pub lost: u32,
    /// Fastest round trip in milliseconds.
    pub best_ms: f64,
}

/// One request after another until one is answered; then `count` more, none of which may be lost.
pub fn ping(netns: &Netns, target: IpAddr, count: u32, within: Duration) -> Result<Ping> {
    wait::until(within, &format!("ping from {} to {target}", netns.name()), || once(netns, target, 1).map(|_| ()))?;
    once(netns, target, count)
}

/// `count` requests, ten a second.
pub fn once(netns: &Netns, target: IpAddr, count: u32) -> Result<Ping> {
    let (count_text, target_text) = (count.to_string(), target.to_string());
    let args = ["-n", "-c", &count_text, "-i", "0.1", "-W", "1", &target_text];
    let output = netns.output("ping", &args)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let received = text
        .lines()
        .find_map(|line| line.split(", ").find_map(|part| part.strip_suffix(" received")?.parse::<u32>().ok()))
        .with_context(|| format!("ping said: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
    ensure!(received > 0, "no answer");
    let rtt = text.lines().find_map(|line| line.strip_prefix("rtt min/avg/max/mdev = "));
    let best_ms = rtt.and_then(|rest| rest.split('/').next()?.parse().ok()).unwrap_or(f64::NAN);
    Ok(Ping { lost: count - received, best_ms })
}

/// One request from an address of the machine.
pub fn from(netns: &Netns, source: IpAddr, target: IpAddr) -> Result<()> {
    let args = ["-n", "-c", "1", "-W", "1", "-I", &source.to_string(), &target.to_string()];
    netns.stdout("ping", &args).map(|_| ())
}

/// Every way that a lab promises, seen from its first node.
pub fn ways(lab: &Lab) -> Result<Vec<Way>> {
    let plan = &lab.plan;
    let pod_ips = |node: usize, pod: &str| -> Result<[IpAddr; 2]> {
        Ok([lab.pod_ip(node, pod, Family::V4)?, lab.pod_ip(node, pod, Family::V6)?])
    };
    let node_ips = |node: usize| FAMILIES.map(|family| plan.node_ip(node, family));
    let pod = |node: usize, pod: &str| (format!("pod n{node}-{pod}"), plan.pod_netns(node, pod));
    let (outside, noroute) = (FAMILIES.map(|family| family.of(OUTSIDE)), FAMILIES.map(|family| family.of(NOROUTE)));
    let mut ways = Vec::new();
    let mut way = |what, (from, netns): (String, Netns), to: String, targets| {
        ways.push(Way { what, from, to, netns, targets });
    };
    way("same node", pod(1, "a"), "pod n1-b".into(), pod_ips(1, "b")?);
    for other in 2..=plan.nodes {
        way("other node", pod(1, "a"), format!("pod n{other}-a"), pod_ips(other, "a")?);
        way("and back", pod(other, "a"), "pod n1-a".into(), pod_ips(1, "a")?);
    }
    way("own node", pod(1, "a"), "node n1".into(), node_ips(1));
    way("a node to its pod", ("node n1".into(), plan.node_netns(1)), "pod n1-a".into(), pod_ips(1, "a")?);
    if plan.nodes > 1 {
        way("other node", pod(1, "a"), "node n2".into(), node_ips(2));
        way("a node to a pod elsewhere", ("node n1".into(), plan.node_netns(1)), "pod n2-b".into(), pod_ips(2, "b")?);
    }
    way("host behind the router", pod(1, "a"), "outside".into(), outside);
    way("and back", ("outside".into(), plan.outside_netns()), "pod n1-a".into(), pod_ips(1, "a")?);
    way("no route back: masquerade", pod(1, "a"), "noroute".into(), noroute);
    Ok(ways)
}

/// Tries every way, several at once; per way and family what came of it.
pub fn try_all(ways: &[Way], within: Duration) -> Vec<[Result<Ping>; 2]> {
    std::thread::scope(|scope| {
        let tries: Vec<_> = ways
            .iter()
            .map(|way| way.targets.map(|target| scope.spawn(move || ping(&way.netns, target, 3, within))))
            .collect();
        let join = |handle: std::thread::ScopedJoinHandle<'_, Result<Ping>>| {
            handle.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the ping's thread panicked")))
        };
        tries.into_iter().map(|pair| pair.map(join)).collect()
    })
}

/// The table for people, and whether every way is open.
pub fn table(ways: &[Way], outcomes: &[[Result<Ping>; 2]]) -> (String, bool) {
    let cell = |outcome: &Result<Ping>| match outcome {
        Ok(ping) if ping.lost == 0 => format!("ok  {:.3} ms", ping.best_ms),
        Ok(ping) => format!("LOST {} of 3", ping.lost),
        Err(_) => "NO ANSWER".to_owned(),
    };
    let mut text = format!("{:<10} {:<10} {:<14} {:<14} \n", "FROM", "TO", "IPv4", "IPv6");
    for (way, outcome) in ways.iter().zip(outcomes) {
        let [v4, v6] = outcome;
        text += &format!("{:<10} {:<10} {:<14} {:<14} {}\n", way.from, way.to, cell(v4), cell(v6), way.what);
    }
    let good = outcomes.iter().flatten().all(|outcome| outcome.as_ref().is_ok_and(|ping| ping.lost == 0));
    (text, good)
}
