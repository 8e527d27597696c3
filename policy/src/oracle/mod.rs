//! The same question answered slowly, straight from the objects, as Kubernetes' and Calico's documents state it. The program
//! is held against it; it shares nothing with the compiler but the question.

mod calico;
mod kubernetes;

use std::net::IpAddr;

use model::Protocol;
use model::object::{
    DefaultAction, Endpoints, HostEndpoint, HostTraffic, Kind, Meta, Namespace, NetworkSet, Object, Order, Pod,
    RuleAction, Tier,
};
use model::selector::Labels;

use crate::decide::{Head, Packet, Verdict};
use crate::rules::Direction;

/// Objects as they are.
#[derive(Debug, Clone, Copy)]
pub struct Oracle<'a>(pub &'a [Object]);

/// Whose packets.
#[derive(Debug, Clone, Copy)]
pub enum Whose<'a> {
    /// A pod's.
    Pod(&'a Pod),
    /// A host's own.
    Host(&'a HostEndpoint),
}

/// Something with labels that Calico's selectors can choose.
#[derive(Debug, Clone, Copy)]
enum Thing<'a> {
    Pod(&'a Pod),
    Host(&'a HostEndpoint),
    Nets(&'a NetworkSet),
}

/// Where a policy stands in its tier: order, name, namespace, kind.
type Place<'a> = (Order, &'a str, Option<String>, Kind);

impl<'a> Oracle<'a> {
    /// What the policies of an endpoint say of a packet to it or from it.
    pub fn decide(&self, whose: Whose<'a>, direction: Direction, packet: &Packet) -> Verdict {
        if packet.from == packet.to {
            return Verdict::Allowed;
        }
        for (tier, end) in self.tiers() {
            let of_tier = |object: &&Object| self.place(object).is_some_and(|(of, _)| of == tier);
            let mut about: Vec<&Object> =
                self.0.iter().filter(of_tier).filter(|o| self.is_about(o, whose, direction)).collect();
            about.sort_by_key(|object| self.place(object).map(|(_, place)| place));
            if about.is_empty() {
                continue;
            }
            match about.iter().find_map(|object| self.first_match(object, direction, packet)) {
                Some(RuleAction::Allow) => return Verdict::Allowed,
                Some(RuleAction::Deny) => return Verdict::Blocked,
                None if end == DefaultAction::Deny => return Verdict::Blocked,
                _ => {}
            }
        }
        match whose {
            Whose::Host(host) if !host.allows_by_default() => Verdict::Blocked,
            _ => Verdict::Allowed,
        }
    }

    /// The tiers in the order in which they are asked, with what becomes of a packet at their ends. Those that policies name
    /// and that are not there come last, by name, and deny.
    fn tiers(&self) -> Vec<(&'a str, DefaultAction)> {
        let of = |object: &'a Object| match object {
            Object::Tier(tier) => Some((tier.order, tier.meta.name.as_str(), tier.default_action)),
            _ => None,
        };
        let mut tiers: Vec<(Order, &str, DefaultAction)> = self.0.iter().filter_map(of).collect();
        for name in ["kube-admin", "default", "kube-baseline"] {
            let told = tiers.iter().any(|(_, other, _)| *other == name);
            tiers.extend(Tier::known(name).filter(|_| !told).map(|(order, action)| (order, name, action)));
        }
        tiers.sort_by_key(|(order, name, _)| (*order, *name));
        let mut named: Vec<&str> = self.0.iter().filter_map(|o| self.place(o)).map(|(tier, _)| tier).collect();
        named.retain(|name| !tiers.iter().any(|(_, other, _)| other == name));
        named.sort_unstable();
        named.dedup();
        let there = tiers.into_iter().map(|(_, name, action)| (name, action));
        there.chain(named.into_iter().map(|name| (name, DefaultAction::Deny))).collect()
    }

    /// In which tier a policy is that decides, and where there.
    fn place<'b>(&self, object: &'b Object) -> Option<(&'b str, Place<'b>)> {
        let (tier, order, meta): (&str, Order, &Meta) = match object {
            Object::NetworkPolicy(policy) => ("default", Order::of(1000), &policy.meta),
            Object::CalicoNetworkPolicy(policy) | Object::GlobalNetworkPolicy(policy) => {
                (&policy.tier, policy.order, &policy.meta)
            }
            Object::ClusterNetworkPolicy(policy) => {
                (kubernetes::tier(policy.tier), Order::of(policy.priority.into()), &policy.meta)
            }
            _ => return None,
        };
        let key = object.key();
        Some((tier, (order, &meta.name, key.namespace, key.kind)))
    }

    fn is_about(&self, object: &Object, whose: Whose<'a>, direction: Direction) -> bool {
        match (object, whose) {
            (Object::NetworkPolicy(policy), Whose::Pod(pod)) => {
                one(direction, policy.ingress.is_some(), policy.egress.is_some())
                    && pod.reference().namespace == policy.namespace()
                    && policy.pods.chooses(&pod.meta.labels)
            }
            (Object::ClusterNetworkPolicy(policy), Whose::Pod(pod)) => {
                one(direction, !policy.ingress.is_empty(), !policy.egress.is_empty())
                    && self.is_one(pod, &policy.subject)
            }
            (Object::CalicoNetworkPolicy(policy) | Object::GlobalNetworkPolicy(policy), whose) => {
                let thing = match whose {
                    Whose::Pod(pod) => Thing::Pod(pod),
                    Whose::Host(host) => Thing::Host(host),
                };
                one(direction, policy.ingress.is_some(), policy.egress.is_some())
                    && matches!(policy.host_traffic, HostTraffic::Local | HostTraffic::Forwarded)
                    && self.is_chosen(thing, &policy.subject)
            }
            _ => false,
        }
    }

    /// What the first rule that matches does; those that log are passed over.
    fn first_match(&self, object: &Object, direction: Direction, packet: &Packet) -> Option<RuleAction> {
        match object {
            Object::NetworkPolicy(policy) => {
                let rules = one(direction, &policy.ingress, &policy.egress).as_ref()?;
                let allows = |rule| self.kubernetes_rule(rule, policy.namespace(), direction, packet);
                rules.iter().any(allows).then_some(RuleAction::Allow)
            }
            Object::ClusterNetworkPolicy(policy) => {
                let rules = one(direction, &policy.ingress, &policy.egress);
                rules.iter().find(|rule| self.cluster_rule(rule, direction, packet)).map(|rule| rule.action)
            }
            Object::CalicoNetworkPolicy(policy) | Object::GlobalNetworkPolicy(policy) => {
                let rules = one(direction, &policy.ingress, &policy.egress).as_ref()?;
                let mut deciding = rules.iter().filter(|rule| rule.action != RuleAction::Log);
                deciding.find(|rule| self.calico_rule(rule, direction, packet)).map(|rule| rule.action)
            }
            _ => None,
        }
    }

    /// Pods that have an address of their own now.
    fn pods(&self) -> impl Iterator<Item = &'a Pod> + use<'a> {
        self.0.iter().filter_map(|object| match object {
            Object::Pod(pod) if !pod.host_network && !pod.ended => Some(pod),
            _ => None,
        })
    }

    fn hosts(&self) -> impl Iterator<Item = &'a HostEndpoint> + use<'a> {
        self.0.iter().filter_map(|object| match object {
            Object::HostEndpoint(host) => Some(&**host),
            _ => None,
        })
    }

    fn namespace(&self, name: &str) -> Option<&'a Namespace> {
        self.0.iter().find_map(|object| match object {
            Object::Namespace(namespace) if namespace.meta.name == name => Some(namespace),
            _ => None,
        })
    }

    /// Whether who has the address calls a port by a name.
    fn calls(&self, address: IpAddr, name: &str, protocol: Protocol, port: u16) -> bool {
        let of_pods = self.pods().filter(|pod| pod.addresses.contains(&address)).flat_map(|pod| &pod.ports);
        let of_hosts = self.hosts().filter(|host| host.addresses.contains(&address)).flat_map(|host| &host.ports);
        of_pods.chain(of_hosts).any(|one| one.name == name && one.protocol == protocol && one.port == port)
    }
}

fn one<T>(direction: Direction, ingress: T, egress: T) -> T {
    match direction {
        Direction::Ingress => ingress,
        Direction::Egress => egress,
    }
}

/// Source and destination port of a packet that has any.
fn ports(packet: &Packet) -> Option<(u16, u16)> {
    match packet.head {
        Head::Ports { source, destination } => Some((source, destination)),
        _ => None,
    }
}

/// Its own labels as Calico sees them: they don't pass for what follows from where it lies.
fn own(labels: &Labels) -> Labels {
    let reserved = |label: &str| {
        label.starts_with(Endpoints::OF_NAMESPACE)
            || label.starts_with(Endpoints::OF_SERVICE_ACCOUNT)
            || [Endpoints::NAMESPACE, Endpoints::ORCHESTRATOR, Endpoints::SERVICE_ACCOUNT].contains(&label)
    };
    labels.iter().filter(|(label, _)| !reserved(label)).map(|(label, value)| (label.clone(), value.clone())).collect()
}
