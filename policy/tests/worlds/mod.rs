//! Small random clusters with every kind of policy, and packets to ask about. Few names, labels and addresses, so that much
//! meets.
#![allow(dead_code, missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod dice;
mod rules;

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::object::{
    CalicoPolicy, ClusterNetworkPolicy, ClusterTier, ContainerPort, DefaultAction, EndpointSlice, Endpoints,
    HostEndpoint, HostInterface, HostTraffic, Meta, Namespace, Namespaces, NetworkPolicy, NetworkSet, Node, Object,
    Order, Pod, ServiceAccount, Socket, Staged, StagedAction, Standing, Tier,
};
use model::selector::{Labels, Selector};
use model::{Family, NodeName, Prefix, Protocol};
use policy::oracle::{Oracle, Whose};
use policy::{Direction, EndpointKey, Engine, Head, Packet, Verdict};

pub use dice::Dice;

/// Of which families a world is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stack {
    /// Of one. The same seed makes mirror images.
    Only(Family),
    /// Of both.
    Dual,
}

/// Makes a world.
pub struct Maker {
    pub dice: Dice,
    pub stack: Stack,
}

pub const NAMESPACES: [&str; 3] = ["n1", "n2", "n3"];

impl Maker {
    pub fn new(seed: u64, stack: Stack) -> Maker {
        Maker { dice: Dice(seed), stack }
    }

    fn family(&mut self) -> Family {
        // Thrown in any case, so that worlds of one family are mirror images.
        let thrown = self.dice.one_of(&Family::ALL);
        match self.stack {
            Stack::Only(family) => family,
            Stack::Dual => thrown,
        }
    }

    /// 10.0.0.n and fd00::n.
    fn address_of(family: Family, n: usize) -> IpAddr {
        match family {
            Family::Ipv4 => format!("10.0.0.{n}"),
            Family::Ipv6 => format!("fd00::{n:x}"),
        }
        .parse()
        .unwrap()
    }

    fn address(&mut self) -> IpAddr {
        let family = self.family();
        Maker::address_of(family, self.dice.below(16))
    }

    fn addresses(&mut self, n: usize) -> Vec<IpAddr> {
        match self.stack {
            Stack::Only(family) => vec![Maker::address_of(family, n)],
            Stack::Dual => Family::ALL.map(|family| Maker::address_of(family, n)).to_vec(),
        }
    }

    pub fn prefix(&mut self) -> Prefix {
        let address = self.address();
        let length = Family::of(address).bits() - self.dice.below(6) as u8;
        Prefix::masked(address, length).unwrap()
    }

    fn labels(&mut self) -> Labels {
        let mut labels = Labels::new();
        for label in ["a", "b"] {
            if self.dice.one_in(2) {
                labels.insert(label.into(), self.dice.one_of(&["x", "y"]).into());
            }
        }
        if self.dice.one_in(16) {
            labels.insert("projectcalico.org/namespace".into(), "n1".into());
        }
        labels
    }

    pub fn selector(&mut self) -> Selector {
        let terms =
            ["all()", "a == 'x'", "a == 'y'", "has(b)", "!has(a)", "a in {'x', 'y'}", "b not in {'x'}", "a != 'x'"];
        let one = |dice: &mut Dice| dice.one_of(&terms);
        let mut text = one(&mut self.dice).to_string();
        if self.dice.one_in(2) {
            text = format!("{text} {} {}", self.dice.one_of(&["&&", "||"]), one(&mut self.dice));
        }
        text.parse().unwrap()
    }

    /// Also by labels that Calico adds.
    pub fn calico_selector(&mut self) -> Selector {
        let terms = [
            "projectcalico.org/namespace == 'n1'",
            "projectcalico.org/orchestrator == 'k8s'",
            "has(projectcalico.org/namespace)",
            "pcns.a == 'x'",
            "pcsa.a == 'x'",
            "projectcalico.org/serviceaccount == 's1'",
            "pcns.projectcalico.org/name in {'n1', 'n2'}",
        ];
        if !self.dice.one_in(4) {
            return self.selector();
        }
        self.dice.one_of(&terms).parse().unwrap()
    }

    fn meta(&mut self, name: &str, namespace: Option<&str>) -> Meta {
        let labels = self.labels();
        Meta { name: name.into(), namespace: namespace.map(str::to_string), labels, ..Meta::default() }
    }

    fn ports(&mut self) -> Vec<ContainerPort> {
        let one = |dice: &mut Dice| ContainerPort {
            name: dice.one_of(&["http", "dns"]).into(),
            protocol: dice.one_of(&[Protocol::TCP, Protocol::UDP]),
            port: 1 + dice.below(7) as u16,
        };
        self.dice.some(3, one)
    }

    pub fn pod(&mut self, name: &str, n: usize) -> Pod {
        let namespace = self.dice.one_of(&NAMESPACES);
        Pod {
            meta: self.meta(name, Some(namespace)),
            node: None,
            host_network: self.dice.one_in(12),
            addresses: self.addresses(n),
            ports: self.ports(),
            service_account: self.dice.one_of(&["s1", "s2"]).into(),
            allowed_sources: Vec::new(),
            ended: self.dice.one_in(12),
        }
    }

    fn node(&mut self, n: usize) -> Node {
        let name = format!("node{n}");
        Node {
            meta: self.meta(&name, None),
            name: NodeName::try_from(name).unwrap(),
            pod_cidrs: Vec::new(),
            ipv4: None,
            ipv6: None,
            internal_ips: Vec::new(),
            status_ips: self.addresses(12 + n),
            asn: None,
            cluster_id: None,
            service: Standing::InService,
        }
    }

    pub fn host(&mut self, n: usize) -> HostEndpoint {
        let name = format!("h{n}");
        HostEndpoint {
            meta: self.meta(&name, None),
            node: NodeName::try_from(format!("node{n}")).unwrap(),
            interface: HostInterface::All,
            addresses: self.addresses(12 + n),
            profiles: self.dice.maybe(|_| HostEndpoint::DEFAULT_ALLOW.to_string()).into_iter().collect(),
            ports: self.ports(),
        }
    }

    fn network_policy(&mut self, name: &str) -> NetworkPolicy {
        let namespace = self.dice.one_of(&NAMESPACES);
        NetworkPolicy {
            meta: self.meta(name, Some(namespace)),
            pods: self.selector(),
            ingress: self.kubernetes_rules(),
            egress: self.kubernetes_rules(),
        }
    }

    fn calico_policy(&mut self, name: &str, namespace: Option<&str>) -> CalicoPolicy {
        let namespaces = match namespace {
            Some(name) => Namespaces::Named(name.into()),
            None if self.dice.one_in(3) => Namespaces::Chosen(self.selector()),
            None => Namespaces::Any,
        };
        let traffic = [HostTraffic::Local, HostTraffic::Local, HostTraffic::Forwarded, HostTraffic::Untracked];
        CalicoPolicy {
            meta: self.meta(name, namespace),
            tier: self.dice.one_of(&["default", "t1", "t2", "t3"]).into(),
            order: self.dice.one_of(&[Order::of(1), Order::of(1000), Order::of(2000), Order::LAST]),
            subject: Endpoints {
                namespaces,
                labels: self.calico_selector(),
                service_accounts: self.dice.one_in(5).then(|| self.accounts()),
            },
            ingress: self.calico_rules(namespace, Direction::Ingress),
            egress: self.calico_rules(namespace, Direction::Egress),
            host_traffic: if namespace.is_some() { HostTraffic::Local } else { self.dice.one_of(&traffic) },
        }
    }

    fn cluster_policy(&mut self, name: &str) -> ClusterNetworkPolicy {
        ClusterNetworkPolicy {
            meta: self.meta(name, None),
            tier: self.dice.one_of(&[ClusterTier::Admin, ClusterTier::Baseline]),
            priority: self.dice.below(3) as u16,
            subject: self.cluster_pods(),
            ingress: self.cluster_rules(),
            egress: self.cluster_rules(),
        }
    }

    /// One object of any kind. Two of the same number and kind are versions of the same object.
    pub fn object(&mut self, n: usize) -> Object {
        let name = format!("o{n}");
        let namespace = self.dice.one_of(&NAMESPACES);
        match self.dice.below(20) {
            0 => Object::Namespace(Namespace { meta: self.meta(namespace, None) }),
            1 => {
                let name = self.dice.one_of(&["s1", "s2"]);
                Object::ServiceAccount(ServiceAccount { meta: self.meta(name, Some(namespace)) })
            }
            2 => Object::Node(self.node(n % 2)),
            3 => Object::HostEndpoint(Box::new(self.host(n % 2))),
            4 => {
                let (nets, meta) = ((0..2).map(|_| self.prefix()).collect(), self.meta(&name, Some(namespace)));
                Object::NetworkSet(NetworkSet { meta, nets })
            }
            5 => {
                let (nets, meta) = ((0..2).map(|_| self.prefix()).collect(), self.meta(&name, None));
                Object::GlobalNetworkSet(NetworkSet { meta, nets })
            }
            6 => {
                let tier = self.dice.one_of(&["t1", "t2"]);
                Object::Tier(Tier {
                    meta: self.meta(tier, None),
                    order: self.dice.one_of(&[Order::of(5), Order::of(2_000_000), Order::LAST]),
                    default_action: self.dice.one_of(&[DefaultAction::Deny, DefaultAction::Pass]),
                })
            }
            7 => Object::EndpointSlice(self.slice(&name, namespace)),
            8 => {
                let staged = Staged { action: StagedAction::Set, policy: self.calico_policy(&name, None) };
                Object::StagedGlobalNetworkPolicy(Box::new(staged))
            }
            9 => {
                let staged = Staged { action: StagedAction::Set, policy: self.network_policy(&name) };
                Object::StagedKubernetesNetworkPolicy(Box::new(staged))
            }
            10..13 => Object::NetworkPolicy(Box::new(self.network_policy(&name))),
            13..15 => Object::CalicoNetworkPolicy(Box::new(self.calico_policy(&name, Some(namespace)))),
            15..18 => Object::GlobalNetworkPolicy(Box::new(self.calico_policy(&name, None))),
            _ => Object::ClusterNetworkPolicy(Box::new(self.cluster_policy(&name))),
        }
    }

    fn slice(&mut self, name: &str, namespace: &str) -> EndpointSlice {
        let mut sockets = BTreeSet::new();
        for _ in 0..3 {
            let (address, port) = (self.address(), 1 + self.dice.below(7) as u16);
            sockets.insert(Socket { address, protocol: Protocol::TCP, port });
        }
        // Of a Service without ports there are addresses only.
        let addresses = sockets.iter().map(|socket| socket.address).collect();
        if self.dice.one_in(4) {
            sockets.clear();
        }
        EndpointSlice {
            meta: Meta { name: name.into(), namespace: Some(namespace.into()), ..Meta::default() },
            service: Some(self.dice.one_of(&["v1", "v2"]).into()),
            family: None,
            ready_on: BTreeSet::new(),
            addresses,
            sockets,
        }
    }

    /// A whole world: each object once.
    pub fn world(&mut self) -> Vec<Object> {
        let mut objects: Vec<Object> = Vec::new();
        for n in 0..1 + self.dice.below(8) {
            objects.push(Object::Pod(self.pod(&format!("p{n}"), n)));
        }
        for name in NAMESPACES {
            if !self.dice.one_in(6) {
                objects.push(Object::Namespace(Namespace { meta: self.meta(name, None) }));
            }
        }
        for n in 0..self.dice.below(16) {
            objects.push(self.object(n));
        }
        let mut keys = BTreeSet::new();
        objects.retain(|object| keys.insert(object.key()));
        objects
    }

    /// A packet between one address and any other.
    pub fn packet(&mut self, own: &[IpAddr]) -> (IpAddr, IpAddr, Protocol, Head) {
        let family = self.family();
        let own = own.iter().copied().find(|address| Family::of(*address) == family).unwrap_or(own[0]);
        let other = Maker::address_of(Family::of(own), self.dice.below(16));
        let icmp = self.icmp(Family::of(own));
        let protocol = self.dice.one_of(&[Protocol::TCP, Protocol::UDP, Protocol::SCTP, icmp, Protocol(47)]);
        let (one, two) = (1 + self.dice.below(8), 1 + self.dice.below(8));
        let head = match protocol {
            Protocol(47) => Head::Other,
            icmp if icmp.family().is_some() => Head::Icmp { kind: one as u8 % 3, code: two as u8 % 2 },
            _ => Head::Ports { source: one as u16, destination: two as u16 },
        };
        (own, other, protocol, head)
    }

    fn icmp(&self, family: Family) -> Protocol {
        match family {
            Family::Ipv4 => Protocol::ICMP,
            Family::Ipv6 => Protocol::ICMPV6,
        }
    }
}

/// A packet to or from.
pub fn packets((own, other, protocol, head): (IpAddr, IpAddr, Protocol, Head)) -> [(Direction, Packet); 2] {
    [
        (Direction::Ingress, Packet { from: other, to: own, protocol, head }),
        (Direction::Egress, Packet { from: own, to: other, protocol, head }),
    ]
}

/// Every endpoint of a world.
fn endpoints(objects: &[Object]) -> Vec<(EndpointKey, Whose<'_>, &[IpAddr])> {
    let of = objects.iter().filter_map(|object| match object {
        Object::Pod(pod) if !pod.host_network && !pod.ended => {
            Some((EndpointKey::Pod(pod.reference()), Whose::Pod(pod), pod.addresses.as_slice()))
        }
        Object::HostEndpoint(host) => {
            Some((EndpointKey::Host(host.meta.name.clone()), Whose::Host(host), host.addresses.as_slice()))
        }
        _ => None,
    });
    of.collect()
}

/// What the program says of random packets, each held against the slow evaluator.
pub fn verdicts(seed: u64, stack: Stack) -> Vec<Verdict> {
    let mut maker = Maker::new(seed, stack);
    let objects = maker.world();
    let engine = Engine::of(&objects);
    let mut verdicts = Vec::new();
    for (key, whose, addresses) in endpoints(&objects) {
        for _ in 0..6 {
            for (direction, packet) in packets(maker.packet(addresses)) {
                let fast = engine.program().decide(&key, direction, &packet);
                let slow = Oracle(&objects).decide(whose, direction, &packet);
                assert_eq!(fast.verdict(), slow, "seed {seed} {stack:?}: {key} {direction} {packet:?}: {fast}");
                verdicts.push(slow);
            }
        }
    }
    verdicts
}
