//! Who may reach whom: the program asked for all pairs of pods.

use std::net::IpAddr;

use model::{Family, PodRef, Protocol};
use serde::Serialize;

use crate::decide::{Packet, Verdict};
use crate::engine::Engine;
use crate::program::EndpointKey;
use crate::rules::Direction;

/// One pair, one port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Who connects: `namespace/pod`.
    pub from: String,
    /// Whom to: `namespace/pod`.
    pub to: String,
    /// With which protocol.
    pub protocol: Protocol,
    /// To which port.
    pub port: u16,
    /// What the policies of `to` say.
    pub ingress: Verdict,
    /// What the policies of `from` say.
    pub egress: Verdict,
    /// What comes of it: allowed if both say so.
    pub combined: Verdict,
}

/// All pairs of pods with addresses of a common family, in order of their names; IPv4 where they have both. A pod always
/// reaches itself: its packets to itself never leave it.
pub fn matrix(engine: &Engine, protocols: &[Protocol], ports: &[u16]) -> Vec<Row> {
    let pods: Vec<Pod<'_>> = engine.pods().map(|(pod, addresses)| Pod::new(pod, addresses)).collect();
    let mut rows = Vec::new();
    for from in &pods {
        for to in &pods {
            for protocol in protocols {
                for port in ports {
                    rows.extend(row(engine, from, to, *protocol, *port));
                }
            }
        }
    }
    rows
}

struct Pod<'a> {
    name: String,
    key: EndpointKey,
    addresses: &'a [IpAddr],
}

impl Pod<'_> {
    fn new<'a>(pod: &PodRef, addresses: &'a [IpAddr]) -> Pod<'a> {
        Pod { name: format!("{}/{}", pod.namespace, pod.name), key: EndpointKey::Pod(pod.clone()), addresses }
    }

    fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| Family::of(*address) == family)
    }
}

fn row(engine: &Engine, from: &Pod<'_>, to: &Pod<'_>, protocol: Protocol, port: u16) -> Option<Row> {
    let common = |family| Some((from.address(family)?, to.address(family)?));
    let (source, destination) = Family::ALL.into_iter().find_map(common)?;
    let packet = Packet::to_port(source, destination, protocol, port);
    let of = |pod: &Pod<'_>, direction| engine.program().decide(&pod.key, direction, &packet).verdict();
    let (ingress, egress) = if from.key == to.key {
        (Verdict::Allowed, Verdict::Allowed)
    } else {
        (of(to, Direction::Ingress), of(from, Direction::Egress))
    };
    let (from, to) = (from.name.clone(), to.name.clone());
    Some(Row { from, to, protocol, port, ingress, egress, combined: ingress.and(egress) })
}
