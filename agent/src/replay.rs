//! What follows from recorded facts: the desired state, without touching anything.

use std::io::{self, BufRead, Write};

use bgp::config::Start;
use model::NodeName;

use crate::fact::Recorded;
use crate::plan::desired::Desired;
use crate::world::{Dirty, World};

/// Reads a recording and prints the desired state that follows from it, as text that can be compared.
pub fn replay(node: NodeName, recording: impl BufRead, mut out: impl Write) -> io::Result<()> {
    let mut world = World::new(node);
    for (number, line) in recording.lines().enumerate() {
        let line = line?;
        if line.is_empty() {
            continue;
        }
        let recorded: Recorded = serde_json::from_str(&line)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {e}", number + 1)))?;
        world.learn(recorded.fact);
    }
    let mut desired = Desired::default();
    desired.update(&world, &Dirty::everything(), Start::Fresh);
    describe(&world, &desired, &mut out)
}

/// Prints all that is planned, a line for each thing, in an order that does not depend on how it came about.
pub fn describe(world: &World, desired: &Desired, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "node {}", world.node)?;
    if let Some(plan) = &desired.bgp {
        if let Some(config) = &plan.config {
            writeln!(out, "bgp as {} router-id {} port {}", config.local_as, config.router_id, plan.listen_port)?;
            for (key, peer) in &config.peers {
                write!(out, "peer {key} as {} ({})", peer.remote_as, peer.name)?;
                for (name, rules) in peer.filters.names() {
                    match rules {
                        Some(rules) => write!(out, " filter {name} with {rules} rules")?,
                        None => write!(out, " filter {name} that does not exist")?,
                    }
                }
                writeln!(out)?;
            }
            for (prefix, range) in &config.ranges {
                let (peer, most) = (range.peer(), range.most());
                writeln!(out, "at most {most} peers from {prefix} as {} ({})", peer.remote_as, peer.name)?;
            }
            if let Some(drain) = &config.drain {
                writeln!(out, "drain {} s {:?}", drain.wait.as_secs_f64(), drain.message)?;
            }
            for interface in &config.interfaces {
                writeln!(out, "subnet {} dev {}", interface.subnet, interface.name)?;
            }
            for prefix in config.originate.keys() {
                writeln!(out, "originate {prefix}")?;
            }
        }
        for problem in &plan.problems {
            writeln!(out, "problem {problem}")?;
        }
    }
    for error in &world.objects.errors {
        writeln!(out, "object {error}")?;
    }
    if let Some(tunnel) = desired.tunnel {
        let address = tunnel.address.map(|a| format!(" address {a}")).unwrap_or_default();
        writeln!(out, "tunnel {} mtu {}{address}", model::kernel::TUNNEL, tunnel.mtu)?;
    }
    writeln!(out, "nat {}", desired.nat)?;
    for family in &desired.forwarding {
        writeln!(out, "forward {family}")?;
    }
    let names = world.kernel.actual.names();
    for (prefix, plan) in &desired.routes {
        match &plan.route {
            Ok(route) => write!(out, "route {}", route.display(&names))?,
            Err(unusable) => write!(out, "route {prefix} not usable: {unusable}")?,
        }
        let reasons: Vec<String> = plan.encap.iter().map(|(_, encap)| encap.to_string()).collect();
        writeln!(out, "{}{}", if reasons.is_empty() { "" } else { " # " }, reasons.join("; "))?;
    }
    Ok(())
}
