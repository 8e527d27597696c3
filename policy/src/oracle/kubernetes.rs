//! Rules of Kubernetes' kinds.

use std::net::IpAddr;

use model::object::{
    ClusterPeer, ClusterPods, ClusterRule, ClusterTier, Object, Pod, PolicyPeer, PolicyPort, PolicyRule, PortMatch,
};

use super::{Oracle, one, ports};
use crate::decide::Packet;
use crate::rules::Direction;

/// The tier of a ClusterNetworkPolicy.
pub(super) fn tier(tier: ClusterTier) -> &'static str {
    match tier {
        ClusterTier::Admin => "kube-admin",
        ClusterTier::Baseline => "kube-baseline",
    }
}

impl Oracle<'_> {
    pub(super) fn kubernetes_rule(
        &self,
        rule: &PolicyRule,
        namespace: &str,
        direction: Direction,
        packet: &Packet,
    ) -> bool {
        let other = one(direction, packet.from, packet.to);
        let of_peer = rule.peers.is_empty() || rule.peers.iter().any(|peer| self.is_peer(peer, namespace, other));
        of_peer && self.any_port(&rule.ports, packet)
    }

    pub(super) fn cluster_rule(&self, rule: &ClusterRule, direction: Direction, packet: &Packet) -> bool {
        let other = one(direction, packet.from, packet.to);
        let is_peer = |peer: &ClusterPeer| match peer {
            ClusterPeer::Nets(nets) => nets.iter().any(|net| net.contains(other)),
            ClusterPeer::Pods(pods) => self.at(other).any(|pod| self.is_one(pod, pods)),
            ClusterPeer::Nodes(labels) => self.0.iter().any(|object| match object {
                Object::Node(node) => {
                    let written = node.ipv4.iter().chain(&node.ipv6).any(|one| one.address == other);
                    labels.chooses(&node.meta.labels) && (written || node.status_ips.contains(&other))
                }
                _ => false,
            }),
        };
        rule.peers.iter().any(is_peer) && self.any_port(&rule.ports, packet)
    }

    pub(super) fn is_one(&self, pod: &Pod, pods: &ClusterPods) -> bool {
        let namespace = self.namespace(&pod.reference().namespace);
        let in_namespace = namespace.is_some_and(|namespace| pods.namespaces.chooses(&namespace.meta.labels));
        in_namespace && pods.pods.chooses(&pod.meta.labels)
    }

    fn is_peer(&self, peer: &PolicyPeer, own: &str, address: IpAddr) -> bool {
        match peer {
            PolicyPeer::Net { cidr, except } => {
                cidr.contains(address) && !except.iter().any(|prefix| prefix.contains(address))
            }
            PolicyPeer::Pods { namespaces, pods } => self.at(address).any(|pod| {
                let namespace = pod.reference().namespace;
                let in_namespace = match namespaces {
                    None => namespace == own,
                    Some(selector) => {
                        self.namespace(&namespace).is_some_and(|namespace| selector.chooses(&namespace.meta.labels))
                    }
                };
                in_namespace && pods.chooses(&pod.meta.labels)
            }),
        }
    }

    fn any_port(&self, wanted: &[PolicyPort], packet: &Packet) -> bool {
        let is = |wanted: &PolicyPort| {
            wanted.protocol == packet.protocol
                && match (&wanted.port, ports(packet)) {
                    (None, _) => true,
                    (Some(PortMatch::Numbers(range)), Some((_, port))) => range.contains(&port),
                    (Some(PortMatch::Name(name)), Some((_, port))) => {
                        self.calls(packet.to, name, packet.protocol, port)
                    }
                    (Some(_), None) => false,
                }
        };
        wanted.is_empty() || wanted.iter().any(is)
    }

    fn at(&self, address: IpAddr) -> impl Iterator<Item = &Pod> {
        self.pods().filter(move |pod| pod.addresses.contains(&address))
    }
}
