//! The node's own BGP and BFD: with its peers it speaks whatever a HostEndpoint's policies say.

use std::collections::BTreeSet;
use std::net::IpAddr;

use bgp::bfd::{Distance, MULTIHOP_PORT, SINGLE_HOP_PORT};
use dataplane::ruleset::{End, Key, KeyType, Rule, Ruleset, Sense, Set, expr};
use model::{Family, Protocol};
use policy::Direction;

use super::chains::of_family;
use crate::plan::bgp::BgpPlan;

/// Sets of the peers' addresses.
const PEERS: &str = "peers";

/// With whom the node speaks, and on which ports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sessions {
    peers: BTreeSet<IpAddr>,
    /// Ports that peers come to.
    inbound: BTreeSet<(Protocol, u16)>,
    /// Ports of peers.
    outbound: BTreeSet<(Protocol, u16)>,
}

/// Those that are planned.
pub fn sessions(plan: &BgpPlan) -> Sessions {
    let mut sessions = Sessions::default();
    for (key, peer) in plan.config.iter().flat_map(|config| &config.peers) {
        sessions.peers.insert(key.address);
        sessions.inbound.insert((Protocol::TCP, plan.listen_port));
        sessions.outbound.insert((Protocol::TCP, key.port));
        // Neither end's packets are answers to the other's.
        let watched = peer.bfd.map(|bfd| match bfd.distance {
            Distance::SingleHop => (Protocol::UDP, SINGLE_HOP_PORT),
            Distance::Multihop => (Protocol::UDP, MULTIHOP_PORT),
        });
        sessions.inbound.extend(watched);
        sessions.outbound.extend(watched);
    }
    sessions
}

impl Sessions {
    /// Adds the sets that the rules ask for.
    pub(super) fn lay(&self, table: &mut Ruleset) {
        for family in Family::ALL {
            let peers = self.peers.iter().filter(|address| Family::of(**address) == family);
            let peers = Set::of(KeyType::Address(family), peers.map(|address| Key::Address(*address)));
            table.sets.insert(of_family(PEERS, family), peers);
        }
    }

    /// Whether what begins at a peer, or goes to one (`other`), to a port, is of a session.
    pub(super) fn have(&self, direction: Direction, other: IpAddr, port: (Protocol, u16)) -> bool {
        let ports = match direction {
            Direction::Ingress => &self.inbound,
            Direction::Egress => &self.outbound,
        };
        self.peers.contains(&other) && ports.contains(&port)
    }

    /// Lets pass what begins at a peer, or goes to one: `other` is the peer's end, `port` the one whose port is known,
    /// which is the source of what answers.
    pub(super) fn rules(&self, other: End, port: End) -> impl Iterator<Item = Rule> {
        let ports = if other == port { &self.outbound } else { &self.inbound };
        let rule = move |family, (protocol, number): &(Protocol, u16)| {
            Rule::of([
                expr::family(family),
                expr::address_in(family, other, &of_family(PEERS, family), Sense::Is),
                expr::protocol(protocol.0, Sense::Is),
                expr::port_between(port, *number..=*number, Sense::Is),
                expr::accept(),
            ])
            .comment("session")
        };
        Family::ALL.into_iter().flat_map(move |family| ports.iter().map(move |number| rule(family, number)))
    }
}
