//! A packet that a rule of the table has logged, with names instead of addresses, and with what the policies say of it.

use std::net::IpAddr;

use model::Protocol;
use model::api::show::{Connection, DenialView, PolicyEvent};
use policy::program::{EndpointKey, Program};
use policy::{Direction, Head, Packet};

use crate::plan::ends::{self, End, Who};
use crate::plan::judged::{judge, plain};
use crate::world::World;

/// What the kernel told of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Noted {
    /// The rule's text: the name of the chain that ends what is denied, else the rule that logs.
    pub rule: String,
    /// Source, destination, protocol, ports.
    pub packet: Packet,
}

/// The packet as it is shown. `at` is when it was seen.
pub fn named(world: &World, program: &Program, noted: &Noted, at: String) -> DenialView {
    let Noted { rule, packet } = noted;
    let (from, to) = (ends::whose(world, packet.from), ends::whose(world, packet.to));
    let denied = [Direction::Egress, Direction::Ingress].into_iter().find(|way| *rule == denied_by(*way));
    let judged = match denied {
        Some(direction) => {
            let pod = match direction {
                Direction::Egress => &from,
                Direction::Ingress => &to,
            };
            match pod {
                Who::Pod(pod, _) => judge(program, &EndpointKey::Pod(pod.clone()), direction, packet),
                _ => plain(model::api::show::PolicyVerdict::Denied, "no pod of this node has the address any more"),
            }
        }
        None => plain(model::api::show::PolicyVerdict::Elsewhere, format!("logged by {rule}")),
    };
    let (source_port, port) = match packet.head {
        Head::Ports { source, destination } => (source, destination),
        Head::Icmp { .. } | Head::Other => (0, 0),
    };
    let view = |who, address: IpAddr| End { who, addresses: Vec::new() }.view(address);
    DenialView {
        at,
        event: if denied.is_some() { PolicyEvent::Denied } else { PolicyEvent::Logged },
        direction: denied.map(|direction| direction.to_string()).unwrap_or_default(),
        from: view(from, packet.from),
        to: view(to, packet.to),
        connection: Connection { protocol: Protocol(packet.protocol.0), port },
        source_port,
        judged,
    }
}

/// What the table's rule says that logs the end of what is denied.
fn denied_by(direction: Direction) -> &'static str {
    match direction {
        Direction::Egress => "denied-egress",
        Direction::Ingress => "denied-ingress",
    }
}
