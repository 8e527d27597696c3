//! What is in the table whatever the policies: where packets come in, what guards them, and what is translated.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};

use dataplane::ruleset::{
    Base as Header, Chain, End, Expression, FORWARD, Hook, INPUT, KeyType, Load, MapKey, PREROUTING, Part, Register,
    Rule, Ruleset, Sense, Set, VerdictMap, expr,
};
use dataplane::want::Nat;
use model::object::{EndpointToHost, SourceSpoofing};
use model::{Family, Prefix};
use policy::program::Program;

use crate::plan::desired::Desired;
use crate::world::{Mode, World};

use super::chains::{Way, denied, of_family, own};
use super::hosts::{Hosts, hosts};

/// Chain that drops what no pod may send: other sources than its own.
pub const SOURCES: &str = "prerouting";
/// Chain where packets between others meet the policies.
pub const FILTER: &str = "filter";
/// Chain where packets for this node do.
pub const LOCAL: &str = "input";
/// Map from a pod's interface to what becomes of packets that come by it.
pub const EGRESS: &str = "egress";
/// Map from a pod's interface to what becomes of packets that leave by it.
pub const INGRESS: &str = "ingress";
/// Set of the addresses from which tunnelled packets are taken.
const NODES: &str = "nodes4";
/// How the names of pods' interfaces begin.
const CALI: &str = "cali";
/// `raw`: before connections are tracked.
const RAW: i32 = -300;
/// Just before `filter` (0).
const BEFORE_FILTER: i32 = -5;
/// The first link-local address, of 10 bits.
const LINK_LOCAL: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0));
/// The source of who has no address yet.
const NOWHERE: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
/// IANA's number of IP in IP.
const IPIP: u8 = 4;
/// IANA's number of ICMPv6.
const ICMPV6: u8 = 58;
/// ICMPv6 of a link, from and to type: listeners, routers and neighbours; reports of listeners.
const OF_LINK: [(u8, u8); 2] = [(130, 137), (143, 143)];

/// What is asked of the table beside policies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Base {
    /// Translation, and packets to service addresses.
    pub nat: Nat,
    /// Where tunnelled packets may come from; None where there is no tunnel.
    pub tunnel_from: Option<BTreeSet<Prefix>>,
    /// Whether pods may send IP in IP themselves.
    pub tunnels_of_pods: Permission,
    /// What pods may send to their node after their policies (`defaultEndpointToHostAction`).
    pub to_host: EndpointToHost,
    /// What becomes of packets of no connection (`disableConntrackInvalidCheck`).
    pub invalid: Invalid,
    /// Further sources that a pod may send from, by its interface (`workloadSourceSpoofing`).
    pub further_sources: BTreeSet<(String, Prefix)>,
    /// The node's own links that policies are about.
    pub hosts: Hosts,
    /// By what a pod is known.
    pub mode: Mode,
}

/// Whether something may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Permission {
    /// It may not.
    #[default]
    Denied,
    /// It may.
    Granted,
}

/// What becomes of packets to or from pods that belong to no connection and begin none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Invalid {
    /// They end.
    #[default]
    Drop,
    /// They are treated as all others.
    Pass,
}

/// What the objects ask for.
pub fn base(world: &World, program: &Program, desired: &Desired) -> Base {
    let felix = world.objects.felix(&world.node);
    let nodes = || {
        let all = world.objects.nodes();
        let addresses =
            all.flat_map(|node| node.ipv4.iter().map(|a| a.address).chain(node.internal_ips.iter().copied()));
        let others = felix.external_nodes_list.iter().flatten().copied();
        addresses.map(Prefix::host).chain(others).filter(|prefix| prefix.family() == Family::Ipv4).collect()
    };
    Base {
        nat: desired.nat.clone(),
        tunnel_from: desired.tunnel.as_ref().map(|_| nodes()),
        tunnels_of_pods: match felix.allow_ipip_packets_from_workloads {
            Some(true) => Permission::Granted,
            _ => Permission::Denied,
        },
        to_host: felix.default_endpoint_to_host_action.unwrap_or_default(),
        invalid: match felix.disable_conntrack_invalid_check {
            Some(true) => Invalid::Pass,
            _ => Invalid::Drop,
        },
        further_sources: match felix.workload_source_spoofing {
            Some(SourceSpoofing::Any) => further_sources(world),
            _ => BTreeSet::new(),
        },
        hosts: hosts(world, program, desired.bgp.as_ref()),
        mode: world.mode,
    }
}

/// What pods' annotations ask for.
fn further_sources(world: &World) -> BTreeSet<(String, Prefix)> {
    let mut further = BTreeSet::new();
    for (name, interface) in world.endpoints.interfaces() {
        let pod = interface.pod.as_ref().and_then(|pod| world.objects.pod(pod));
        let prefixes = pod.into_iter().flat_map(|pod| &pod.allowed_sources);
        further.extend(prefixes.map(|prefix| (name.clone(), *prefix)));
    }
    further
}

/// The set of interfaces with the addresses that packets may come from by them.
pub fn sources(family: Family) -> String {
    of_family("sources", family)
}

/// The set of the addresses of this node's pods.
pub fn pods(family: Family) -> String {
    of_family("pods", family)
}

/// The names of sets and maps that pods come and go in: empty here.
pub fn of_pods(mode: Mode) -> Ruleset {
    let mut table = Ruleset::default();
    for family in Family::ALL {
        // A pod's name in place of its link's is too long for a key, and how it is wired is not ours to guard.
        if mode == Mode::Network {
            table.sets.insert(sources(family), Set::new(KeyType::InterfaceAddress(family)));
        }
        table.sets.insert(pods(family), Set::new(KeyType::Address(family)));
        table.sets.insert(own(family), Set::new(KeyType::Pair(family)));
    }
    for name in [EGRESS, INGRESS] {
        match mode {
            Mode::Network => _ = table.maps.insert(name.into(), VerdictMap::new(MapKey::Interface)),
            Mode::PolicyOnly => {
                for family in Family::ALL {
                    table.maps.insert(of_family(name, family), VerdictMap::new(MapKey::Address(family)));
                }
            }
        }
    }
    for way in [Way::Egress, Way::Ingress] {
        table.chains.insert(way.denied().into(), denied(way).into());
    }
    table
}

impl Base {
    /// Its chains, and the sets that are theirs alone.
    pub fn table(&self) -> Ruleset {
        if self.mode == Mode::PolicyOnly {
            return self.by_address();
        }
        let mut table = Ruleset::treating(&self.nat).unwrap_or_default();
        if let Some(from) = &self.tunnel_from {
            table.sets.insert(NODES.into(), Set::prefixes(Family::Ipv4, from));
        }
        table.chains.insert(SOURCES.into(), Chain::base(Hook::filter(PREROUTING, RAW), self.guard()).into());
        table.chains.insert(FILTER.into(), Chain::base(Hook::filter(FORWARD, BEFORE_FILTER), self.filter()).into());
        table.chains.insert(LOCAL.into(), Chain::base(Hook::filter(INPUT, BEFORE_FILTER), self.local()).into());
        self.hosts.lay(&mut table, |other| self.tunnelled(other));
        table
    }

    /// Where another plugin wires the pods, they are known by their addresses, and how they are wired is not ours to guard.
    fn by_address(&self) -> Ruleset {
        let mut table = Ruleset::default();
        let asked = |family, end, map| {
            Rule::of([expr::family(family), expr::address_vmap(family, end, &of_family(map, family))])
        };
        let established = || Rule::of([expr::ct_established(), expr::accept()]);
        let egress = || Family::ALL.map(|family| asked(family, End::Source, EGRESS));
        let ingress = Family::ALL.map(|family| asked(family, End::Destination, INGRESS));
        // What neighbours on a bridge say to each other comes by here too.
        let filter = [established()].into_iter().chain(neighbours()).chain(egress()).chain(ingress);
        let mut local = vec![established()];
        local.extend(neighbours());
        local.extend(egress());
        local.extend(self.after_egress(Family::ALL.map(|family| {
            let of_pod = expr::address_in(family, End::Source, &pods(family), Sense::Is);
            [expr::family(family), of_pod].concat()
        })));
        local.extend(self.hosts.local());
        table.chains.insert(FILTER.into(), Chain::base(Hook::filter(FORWARD, BEFORE_FILTER), filter).into());
        table.chains.insert(LOCAL.into(), Chain::base(Hook::filter(INPUT, BEFORE_FILTER), local).into());
        self.hosts.lay(&mut table, |_| None);
        table
    }

    fn filter(&self) -> Vec<Rule> {
        let mut rules = vec![Rule::of([expr::ct_established(), expr::accept()])];
        if self.invalid == Invalid::Drop {
            for of_pod in [from_pod(), expr::oifname_prefix(CALI, Sense::Is)] {
                rules.push(Rule::of([expr::ct_invalid(), of_pod, expr::counter(), expr::drop()]));
            }
        }
        rules.extend(self.no_tunnel_of_pods());
        rules.extend([
            Rule::of([expr::iifname_vmap(EGRESS)]),
            Rule::of([expr::oifname_vmap(INGRESS)]),
            Rule::of([expr::oifname_prefix(CALI, Sense::Is), expr::counter(), expr::drop()]).comment("unknown link"),
        ]);
        rules
    }

    fn local(&self) -> Vec<Rule> {
        let mut rules = vec![Rule::of([expr::ct_established(), expr::accept()])];
        rules.extend(self.no_tunnel_of_pods());
        if self.tunnel_from.is_some() {
            rules.push(Rule::of([
                expr::family(Family::Ipv4),
                expr::protocol(IPIP, Sense::Is),
                expr::address_in(Family::Ipv4, End::Source, NODES, Sense::IsNot),
                expr::counter(),
                expr::drop(),
            ]));
        }
        rules.extend(self.tunnelled(End::Source));
        rules.extend(neighbours());
        rules.push(Rule::of([expr::iifname_vmap(EGRESS)]));
        rules.extend(self.after_egress([from_pod()]));
        rules.extend(self.hosts.local());
        rules
    }

    /// What becomes of packets to the node that pods' own policies let pass.
    fn after_egress(&self, of_pods: impl IntoIterator<Item = Part>) -> impl Iterator<Item = Rule> {
        of_pods.into_iter().filter_map(|of_pod| match self.to_host {
            EndpointToHost::Accept => Some(Rule::of([of_pod, expr::accept()])),
            EndpointToHost::Drop => Some(Rule::of([of_pod, expr::counter(), expr::drop()])),
            EndpointToHost::Return => None,
        })
    }

    /// A pod sends from its own addresses, and on its link from a link-local one or from none yet. What is not a pod's
    /// interface that we know has no address.
    fn guard(&self) -> Vec<Rule> {
        let mut rules = of_link(&[Prefix::masked(LINK_LOCAL, 10).ok(), Some(Prefix::host(NOWHERE))]);
        for (interface, prefix) in &self.further_sources {
            let from = expr::in_prefix(End::Source, *prefix, Sense::Is);
            let of_pod = expr::iifname(interface, Sense::Is);
            rules.push(Rule::of([expr::family(prefix.family()), of_pod, from, expr::accept()]));
        }
        for family in Family::ALL {
            let unknown = expr::interface_address_in(family, &sources(family), Sense::IsNot);
            rules.push(Rule::of([expr::family(family), from_pod(), unknown, expr::counter(), expr::drop()]));
        }
        rules
    }

    /// What the tunnel carries between this node and another is never cut, whatever a HostEndpoint's policies say.
    fn tunnelled(&self, other: End) -> Option<Rule> {
        let of_node = expr::address_in(Family::Ipv4, other, NODES, Sense::Is);
        let rule = Rule::of([expr::family(Family::Ipv4), expr::protocol(IPIP, Sense::Is), of_node, expr::accept()]);
        self.tunnel_from.as_ref().map(|_| rule)
    }

    fn no_tunnel_of_pods(&self) -> Option<Rule> {
        let rule = Rule::of([from_pod(), expr::protocol(IPIP, Sense::Is), expr::counter(), expr::drop()]);
        (self.tunnels_of_pods == Permission::Denied).then_some(rule)
    }
}

fn from_pod() -> Part {
    expr::iifname_prefix(CALI, Sense::Is)
}

/// What keeps any link going: connections are not tracked of it, so that it would never be an answer.
pub(super) fn neighbours() -> impl Iterator<Item = Rule> {
    let kind = Load::Payload { base: Header::Transport, offset: 0, length: 1 };
    OF_LINK.into_iter().map(move |(first, last)| {
        let between = Expression::Between(Register(0), Sense::Is, vec![first], vec![last]);
        let of_kind = vec![Expression::Load(kind, Register(0)), between];
        Rule::of([expr::family(Family::Ipv6), expr::protocol(ICMPV6, Sense::Is), of_kind, expr::accept()])
    })
}

/// What keeps the link with a pod going, from these sources.
fn of_link(from: &[Option<Prefix>]) -> Vec<Rule> {
    let kind = Load::Payload { base: Header::Transport, offset: 0, length: 1 };
    let mut rules = Vec::new();
    for source in from {
        for (first, last) in OF_LINK {
            let source = source.map(|prefix| expr::in_prefix(End::Source, prefix, Sense::Is)).unwrap_or_default();
            let between = Expression::Between(Register(0), Sense::Is, vec![first], vec![last]);
            rules.push(Rule::of([
                expr::family(Family::Ipv6),
                from_pod(),
                source,
                expr::protocol(ICMPV6, Sense::Is),
                vec![Expression::Load(kind, Register(0)), between],
                expr::accept(),
            ]));
        }
    }
    rules
}
