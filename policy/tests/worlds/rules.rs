//! Rules of every kind.

use model::Protocol;
use model::object::{
    CalicoRule, ClusterPeer, ClusterPods, ClusterRule, Endpoints, Entity, IcmpMatch, Namespaces, PolicyPeer,
    PolicyPort, PolicyRule, PortMatch, RuleAction, ServiceAccounts, ServiceName,
};

use policy::Direction;

use super::Maker;

impl Maker {
    fn some<T>(&mut self, end: usize, mut one: impl FnMut(&mut Maker) -> T) -> Vec<T> {
        (0..self.dice.below(end)).map(|_| one(self)).collect()
    }

    fn port(&mut self) -> PortMatch {
        let first = 1 + self.dice.below(7) as u16;
        match self.dice.below(3) {
            0 => PortMatch::Name(self.dice.one_of(&["http", "dns"]).into()),
            1 => PortMatch::Numbers(first..=first),
            _ => PortMatch::Numbers(first..=first + self.dice.below(4) as u16),
        }
    }

    fn policy_port(&mut self) -> PolicyPort {
        let protocol = self.dice.one_of(&[Protocol::TCP, Protocol::UDP, Protocol::SCTP]);
        let port = if self.dice.one_in(3) { None } else { Some(self.port()) };
        PolicyPort { protocol, port }
    }

    pub(super) fn kubernetes_rules(&mut self) -> Option<Vec<PolicyRule>> {
        if self.dice.one_in(3) {
            return None;
        }
        Some(self.some(3, |maker| PolicyRule {
            peers: maker.some(3, Maker::policy_peer),
            ports: maker.some(3, Maker::policy_port),
        }))
    }

    fn policy_peer(&mut self) -> PolicyPeer {
        if self.dice.one_in(3) {
            let cidr = self.prefix();
            let except = self.some(3, Maker::prefix).into_iter().filter(|prefix| cidr.covers(prefix)).collect();
            return PolicyPeer::Net { cidr, except };
        }
        let namespaces = if self.dice.one_in(2) { Some(self.selector()) } else { None };
        PolicyPeer::Pods { namespaces, pods: self.selector() }
    }

    pub(super) fn cluster_pods(&mut self) -> ClusterPods {
        ClusterPods { namespaces: self.selector(), pods: self.selector() }
    }

    pub(super) fn cluster_rules(&mut self) -> Vec<ClusterRule> {
        self.some(3, |maker| ClusterRule {
            name: String::new(),
            action: maker.dice.one_of(&[RuleAction::Allow, RuleAction::Deny, RuleAction::Pass]),
            peers: maker.some(3, |maker| match maker.dice.below(4) {
                0 => ClusterPeer::Nodes(maker.selector()),
                1 => ClusterPeer::Nets(maker.some(3, Maker::prefix)),
                _ => ClusterPeer::Pods(maker.cluster_pods()),
            }),
            ports: maker.some(3, Maker::policy_port),
        })
    }

    pub(super) fn accounts(&mut self) -> ServiceAccounts {
        let names = self.some(2, |maker| maker.dice.one_of(&["s1", "s2"]).to_string());
        ServiceAccounts { names, labels: self.selector() }
    }

    pub(super) fn calico_rules(&mut self, namespace: Option<&str>, direction: Direction) -> Option<Vec<CalicoRule>> {
        if self.dice.one_in(3) {
            return None;
        }
        let namespace = namespace.map(str::to_string);
        Some(self.some(4, |maker| maker.calico_rule(namespace.as_deref(), direction)))
    }

    fn calico_rule(&mut self, namespace: Option<&str>, direction: Direction) -> CalicoRule {
        let actions = [RuleAction::Allow, RuleAction::Allow, RuleAction::Deny, RuleAction::Pass, RuleAction::Log];
        let family = self.family();
        let icmp = self.icmp(family);
        let protocols = [None, Some(Protocol::TCP), Some(Protocol::UDP), Some(icmp), Some(Protocol(47))];
        let protocol = self.dice.one_of(&protocols);
        let is_icmp = protocol == Some(icmp);
        let matched = |maker: &mut Maker| {
            let kind = maker.dice.below(3) as u8;
            IcmpMatch { kind, code: maker.dice.maybe(|dice| dice.below(2) as u8) }
        };
        let thrown = (matched(self), matched(self), self.dice.below(3), self.dice.below(8));
        let has_ports = protocol.is_some_and(Protocol::has_ports);
        CalicoRule {
            action: self.dice.one_of(&actions),
            family: (is_icmp || thrown.3 == 0).then_some(family),
            protocol,
            not_protocol: self.dice.one_of(&[None, None, Some(Protocol::TCP), Some(icmp)]),
            icmp: (is_icmp && thrown.2 == 0).then_some(thrown.0),
            not_icmp: (is_icmp && thrown.2 == 1).then_some(thrown.1),
            source: self.entity(namespace, has_ports, direction == Direction::Ingress),
            destination: self.entity(namespace, has_ports, direction == Direction::Egress),
            reads_http: self.dice.one_in(30),
            annotations: Default::default(),
        }
    }

    fn entity(&mut self, namespace: Option<&str>, has_ports: bool, may_be_service: bool) -> Entity {
        let own = || namespace.map_or(Namespaces::Any, |name| Namespaces::Named(name.into()));
        let namespaces = match self.dice.below(4) {
            0 => Namespaces::Chosen("global()".parse().expect("a selector")),
            1 => Namespaces::Chosen(self.selector()),
            _ => own(),
        };
        let endpoints = Endpoints {
            namespaces,
            labels: self.calico_selector(),
            service_accounts: if self.dice.one_in(5) { Some(self.accounts()) } else { None },
        };
        let service = ServiceName {
            namespace: self.dice.one_of(&super::NAMESPACES).into(),
            name: self.dice.one_of(&["v1", "v2"]).into(),
        };
        let mut entity = Entity::default();
        match self.dice.below(8) {
            0 if may_be_service => entity.service = Some(service),
            1 | 2 => entity.endpoints = Some(endpoints),
            3 => entity.not_endpoints = Some(self.calico_selector()),
            4 => entity.nets = self.some(3, Maker::prefix),
            5 => {
                entity.endpoints = Some(endpoints);
                entity.not_nets = self.some(2, Maker::prefix);
                entity.not_endpoints = if self.dice.one_in(2) { Some(self.selector()) } else { None };
            }
            _ => {}
        }
        let (ports, not_ports) = (self.some(3, Maker::port), self.some(2, Maker::port));
        if has_ports && entity.service.is_none() {
            match self.dice.below(3) {
                0 => entity.ports = ports,
                1 => entity.not_ports = not_ports,
                _ => {}
            }
        }
        entity
    }
}
