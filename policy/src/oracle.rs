//! The same question answered slowly, straight from the objects, as Kubernetes' documents state it. The program is held
//! against it; it shares nothing with the compiler.

use std::net::IpAddr;

use model::Protocol;
use model::object::{Namespace, NetworkPolicy, Pod, PolicyPeer, PolicyPort, PolicyRule, PortMatch};

use crate::decide::{Head, Packet, Verdict};
use crate::rules::Direction;

/// Objects as they are.
#[derive(Debug, Clone, Default)]
pub struct Objects {
    /// Pods.
    pub pods: Vec<Pod>,
    /// Namespaces.
    pub namespaces: Vec<Namespace>,
    /// Policies.
    pub policies: Vec<NetworkPolicy>,
}

impl Objects {
    /// What the policies of a pod say of a packet to it or from it.
    pub fn decide(&self, pod: &Pod, direction: Direction, packet: &Packet) -> Verdict {
        let chosen = |policy: &&NetworkPolicy| {
            pod.reference().namespace == policy.namespace() && policy.pods.chooses(&pod.meta.labels)
        };
        if packet.from == packet.to {
            return Verdict::Allowed;
        }
        let mut isolated = false;
        for policy in self.policies.iter().filter(chosen) {
            let rules = match direction {
                Direction::Ingress => &policy.ingress,
                Direction::Egress => &policy.egress,
            };
            let Some(rules) = rules else { continue };
            isolated = true;
            if rules.iter().any(|rule| self.allows(rule, policy, direction, packet)) {
                return Verdict::Allowed;
            }
        }
        if isolated { Verdict::Blocked } else { Verdict::Allowed }
    }

    fn allows(&self, rule: &PolicyRule, policy: &NetworkPolicy, direction: Direction, packet: &Packet) -> bool {
        let peer = match direction {
            Direction::Ingress => packet.from,
            Direction::Egress => packet.to,
        };
        let from_peer = rule.peers.is_empty() || rule.peers.iter().any(|p| self.is_peer(p, policy, peer));
        let to_port = rule.ports.is_empty() || rule.ports.iter().any(|p| self.is_port(p, packet));
        from_peer && to_port
    }

    fn is_peer(&self, peer: &PolicyPeer, policy: &NetworkPolicy, address: IpAddr) -> bool {
        match peer {
            PolicyPeer::Net { cidr, except } => {
                cidr.contains(address) && !except.iter().any(|prefix| prefix.contains(address))
            }
            PolicyPeer::Pods { namespaces, pods } => self.at(address).any(|pod| {
                let namespace = pod.reference().namespace;
                let in_namespace = match namespaces {
                    None => namespace == policy.namespace(),
                    Some(selector) => {
                        let mut named = self.namespaces.iter().filter(|n| n.meta.name == namespace);
                        named.any(|n| selector.chooses(&n.meta.labels))
                    }
                };
                in_namespace && pods.chooses(&pod.meta.labels)
            }),
        }
    }

    fn is_port(&self, port: &PolicyPort, packet: &Packet) -> bool {
        port.protocol == packet.protocol
            && match &port.port {
                None => true,
                Some(PortMatch::Numbers(range)) => port_of(packet).is_some_and(|port| range.contains(&port)),
                Some(PortMatch::Name(name)) => self.at(packet.to).any(|pod| has_port(pod, name, packet)),
            }
    }

    fn at(&self, address: IpAddr) -> impl Iterator<Item = &Pod> {
        self.pods.iter().filter(move |pod| !pod.host_network && !pod.ended && pod.addresses.contains(&address))
    }
}

fn has_port(pod: &Pod, name: &str, packet: &Packet) -> bool {
    let is = |protocol: Protocol, port: u16| protocol == packet.protocol && Some(port) == port_of(packet);
    pod.ports.iter().any(|port| port.name == name && is(port.protocol, port.port))
}

fn port_of(packet: &Packet) -> Option<u16> {
    match packet.head {
        Head::Ports { destination, .. } => Some(destination),
        _ => None,
    }
}
