//! Who may reach whom: the program asked for all pairs of pods.

use model::{Family, Protocol};
use serde::Serialize;

use crate::decide::{Packet, Verdict};
use crate::program::{EndpointKey, Program};
use crate::rules::Direction;
use crate::scene::{Endpoint, Scene};

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
pub fn matrix(scene: &Scene, program: &Program, protocols: &[Protocol], ports: &[u16]) -> Vec<Row> {
    let mut rows = Vec::new();
    for from in scene.endpoints() {
        for to in scene.endpoints() {
            for protocol in protocols {
                for port in ports {
                    rows.extend(row(program, from, to, *protocol, *port));
                }
            }
        }
    }
    rows
}

fn row(program: &Program, from: &Endpoint, to: &Endpoint, protocol: Protocol, port: u16) -> Option<Row> {
    let common = |family| Some((from.address(family)?, to.address(family)?));
    let (source, destination) = Family::ALL.into_iter().find_map(common)?;
    let packet = Packet::to_port(source, destination, protocol, port);
    let of = |endpoint: &Endpoint, direction| {
        program.decide(&EndpointKey::Pod(endpoint.pod.clone()), direction, &packet).verdict()
    };
    let (ingress, egress) = if from.pod == to.pod {
        (Verdict::Allowed, Verdict::Allowed)
    } else {
        (of(to, Direction::Ingress), of(from, Direction::Egress))
    };
    let name = |endpoint: &Endpoint| format!("{}/{}", endpoint.pod.namespace, endpoint.pod.name);
    Some(Row { from: name(from), to: name(to), protocol, port, ingress, egress, combined: ingress.and(egress) })
}
