//! Policies about the node itself: its HostEndpoints' links, and the ports that no policy closes.

use std::collections::BTreeMap;

use dataplane::ruleset::{
    Chain, End, FORWARD, Hook, Key, MapKey, OUTPUT, PREROUTING, Part, Rule, Ruleset, Sense, Verdict, VerdictMap, expr,
};
use model::Family;
use model::object::{FailsafePort, HostEndpoint, HostInterface};
use model::pod_link::is_pod_link;
use policy::program::{ChainKey, Chains, EndpointKey, Program};

use super::base::{neighbours, pods};
use super::chains::{ALLOWED, Way};
use super::sessions::{Sessions, sessions};
use crate::plan::bgp::BgpPlan;
use crate::world::World;

/// Before connections are known (-200), and behind `raw` (-300), where pods' sources are looked at.
const BEFORE_TRACKING: i32 = -299;
/// Before `dstnat` (-100) and after connections are known (-200).
const BEFORE_DNAT: i32 = -150;
/// With the chain for pods, and after it by its place.
const AFTER_PODS: i32 = -4;
const BEFORE_FILTER: i32 = -5;

/// The node's links that policies are about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    /// By the name of the link.
    pub(super) named: BTreeMap<String, Chains>,
    /// Of all links that have no chains of their own.
    pub(super) all: Option<Chains>,
    pub(super) inbound: Vec<FailsafePort>,
    pub(super) outbound: Vec<FailsafePort>,
    pub(super) sessions: Sessions,
}

/// The HostEndpoints of this node that are on a link; of two on one link the first by name. One that no policy is about
/// has its link all the same: what all links have is not for that one.
pub fn hosts(world: &World, program: &Program, bgp: Option<&BgpPlan>) -> Hosts {
    let mut hosts = Hosts::default();
    for endpoint in world.objects.host_endpoints().filter(|endpoint| endpoint.node == world.node) {
        let chains = program.endpoints.get(&EndpointKey::Host(endpoint.meta.name.clone()));
        let chains = || chains.cloned().unwrap_or_default();
        match link(world, endpoint) {
            Some(Some(link)) => _ = hosts.named.entry(link).or_insert_with(chains),
            Some(None) => _ = hosts.all.get_or_insert_with(chains),
            None => {}
        }
    }
    if hosts.named.values().chain(&hosts.all).all(|chains| *chains == Chains::default()) {
        return Hosts::default();
    }
    let felix = world.objects.felix(&world.node);
    (hosts.inbound, hosts.outbound) = (felix.failsafe_inbound().to_vec(), felix.failsafe_outbound().to_vec());
    hosts.sessions = bgp.map(sessions).unwrap_or_default();
    hosts
}

/// The link of a HostEndpoint: None within for all of them, None for one that is not there.
fn link(world: &World, endpoint: &HostEndpoint) -> Option<Option<String>> {
    match &endpoint.interface {
        HostInterface::All => Some(None),
        HostInterface::Named(name) => Some(Some(name.clone())),
        HostInterface::WithAddress => {
            let link = endpoint.addresses.iter().find_map(|address| world.kernel.link_with(*address))?;
            (!is_pod_link(&link.name)).then(|| Some(link.name.clone()))
        }
    }
}

/// The HostEndpoint that a link of this node has.
pub fn on<'a>(world: &'a World, name: &str) -> Option<&'a HostEndpoint> {
    let here = || world.objects.host_endpoints().filter(|endpoint| endpoint.node == world.node);
    let named = here().find(|endpoint| link(world, endpoint).is_some_and(|link| link.as_deref() == Some(name)));
    named.or_else(|| here().find(|endpoint| endpoint.interface == HostInterface::All))
}

/// Where in the packet's way a chain of a host is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stage {
    map: &'static str,
    way: Way,
    of: fn(&Chains) -> Option<&ChainKey>,
}

pub(super) const LOCAL_IN: Stage =
    Stage { map: "host-ingress", way: Way::Ingress, of: |chains| chains.ingress.as_ref() };
pub(super) const LOCAL_OUT: Stage = Stage { map: "host-egress", way: Way::Egress, of: |chains| chains.egress.as_ref() };
pub(super) const THROUGH_IN: Stage =
    Stage { map: "host-forward-ingress", way: Way::Through, of: |chains| chains.host.forward_ingress.as_ref() };
pub(super) const THROUGH_OUT: Stage =
    Stage { map: "host-forward-egress", way: Way::Egress, of: |chains| chains.host.forward_egress.as_ref() };
pub(super) const FIRST: Stage =
    Stage { map: "host-pre-dnat", way: Way::First, of: |chains| chains.host.pre_dnat.as_ref() };
pub(super) const RAW_IN: Stage =
    Stage { map: "host-untracked-ingress", way: Way::UntrackedIn, of: |chains| chains.host.untracked_ingress.as_ref() };
pub(super) const RAW_OUT: Stage =
    Stage { map: "host-untracked-egress", way: Way::UntrackedOut, of: |chains| chains.host.untracked_egress.as_ref() };
const STAGES: [Stage; 7] = [LOCAL_IN, LOCAL_OUT, THROUGH_IN, THROUGH_OUT, FIRST, RAW_IN, RAW_OUT];

impl Stage {
    /// The chain of a link here.
    pub(super) fn chain(self, chains: &Chains) -> Option<&ChainKey> {
        (self.of)(chains)
    }

    /// Whether others are asked after it about the same packet.
    pub(super) fn is_early(self) -> bool {
        matches!(self.way, Way::First | Way::UntrackedIn | Way::UntrackedOut)
    }

    /// Asks the chain of the link that the packet comes by, or leaves by.
    fn dispatch(self) -> Part {
        if self.leaves() { expr::oifname_vmap(self.map) } else { expr::iifname_vmap(self.map) }
    }

    fn leaves(self) -> bool {
        matches!(self.way, Way::Egress | Way::UntrackedOut)
    }
}

impl Hosts {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.all.is_none()
    }

    /// The chains that lead from here, with the way in which each is asked.
    pub fn users(&self) -> Vec<(Way, ChainKey)> {
        let all = self.named.values().chain(&self.all);
        all.flat_map(|chains| STAGES.into_iter().filter_map(|stage| Some((stage.way, stage.chain(chains)?.clone()))))
            .collect()
    }

    /// Adds the maps, and the chains that are there for hosts alone. `tunnelled` lets pass what tunnels carry whose other
    /// end is the packet's source, or its destination.
    pub(super) fn lay(&self, table: &mut Ruleset, tunnelled: impl Fn(End) -> Option<Rule>) {
        if self.is_empty() {
            return;
        }
        for stage in STAGES {
            table.maps.insert(stage.map.into(), self.map(stage));
        }
        self.sessions.lay(table);
        let mut output = vec![Rule::of([expr::ct_established(), expr::accept()])];
        output.extend(self.allowed_untracked());
        output.extend(to_own());
        output.extend(tunnelled(End::Destination));
        output.extend(self.open(End::Destination));
        output.extend(self.rules(LOCAL_OUT));
        let mut forward = vec![Rule::of([expr::ct_established(), expr::accept()])];
        forward.extend(self.rules(THROUGH_IN));
        forward.extend(self.rules(THROUGH_OUT));
        let mut first = vec![from_itself(), Rule::of([expr::ct_established(), expr::accept()])];
        first.extend(self.allowed_untracked());
        first.extend(neighbours());
        first.extend(tunnelled(End::Source));
        first.extend(self.open(End::Source));
        first.extend(self.rules(FIRST));
        let mut chains = vec![
            ("output", Hook::filter(OUTPUT, BEFORE_FILTER), output),
            ("host-forward", Hook::filter(FORWARD, AFTER_PODS), forward),
            ("host-first", Hook::filter(PREROUTING, BEFORE_DNAT), first),
        ];
        if self.leaves_untracked() {
            let mut before = vec![from_itself()];
            before.extend(neighbours());
            before.extend(tunnelled(End::Source));
            before.extend(self.open(End::Source).chain(self.answers(End::Source)));
            before.extend(self.rules(RAW_IN));
            let mut own: Vec<Rule> = to_own().collect();
            own.extend(tunnelled(End::Destination));
            own.extend(self.open(End::Destination).chain(self.answers(End::Destination)));
            own.extend(self.rules(RAW_OUT));
            chains.push(("host-untracked", Hook::filter(PREROUTING, BEFORE_TRACKING), before));
            chains.push(("output-untracked", Hook::filter(OUTPUT, BEFORE_TRACKING), own));
        }
        for (name, hook, rules) in chains {
            table.chains.insert(name.into(), Chain::base(hook, rules).into());
        }
    }

    /// The rules for packets to the node's own processes.
    pub(super) fn local(&self) -> Vec<Rule> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut rules = vec![from_itself()];
        rules.extend(self.allowed_untracked());
        rules.extend(self.has(FIRST).then(|| Rule::of([expr::marked(ALLOWED, Sense::Is), expr::accept()])));
        rules.extend(self.open(End::Source));
        rules.extend(self.rules(LOCAL_IN));
        rules
    }

    /// Lets pass what begins at the other end and no policy closes; `other` is the end that is not the node.
    fn open(&self, other: End) -> impl Iterator<Item = Rule> {
        let ports = if other == End::Source { &self.inbound } else { &self.outbound };
        let failsafe = ports.iter().map(move |port| failsafe(port, other, End::Destination));
        self.sessions.rules(other, End::Destination).chain(failsafe)
    }

    /// The same of what answers it: before connections are known it is not known as such.
    fn answers(&self, other: End) -> impl Iterator<Item = Rule> {
        let ports = if other == End::Source { &self.outbound } else { &self.inbound };
        let failsafe = ports.iter().map(move |port| failsafe(port, other, End::Source));
        self.sessions.rules(other, End::Source).chain(failsafe)
    }

    /// Whether a link has a chain there.
    fn has(&self, stage: Stage) -> bool {
        self.named.values().chain(&self.all).any(|chains| stage.chain(chains).is_some())
    }

    fn leaves_untracked(&self) -> bool {
        self.has(RAW_IN) || self.has(RAW_OUT)
    }

    /// What was allowed before connections are known is not asked after again.
    fn allowed_untracked(&self) -> Option<Rule> {
        self.leaves_untracked().then(|| Rule::of([expr::ct_untracked(Sense::Is), expr::accept()]))
    }

    fn map(&self, stage: Stage) -> VerdictMap {
        let mut map = VerdictMap::new(MapKey::Interface);
        for (link, chains) in &self.named {
            // A link of its own is not treated as all are.
            let verdict = stage.chain(chains).map_or(Verdict::Continue, |key| Verdict::Jump(stage.way.name(key)));
            map.elements.insert(Key::Interface(link.clone()), verdict);
        }
        map
    }

    fn rules(&self, stage: Stage) -> Vec<Rule> {
        let mut unless: Vec<Part> = Vec::new();
        if stage.map == THROUGH_IN.map {
            // What was allowed before goes on all the same, to what asks after it where it leaves.
            unless.extend(self.has(FIRST).then(|| expr::marked(ALLOWED, Sense::IsNot)));
            unless.extend(self.leaves_untracked().then(|| expr::ct_untracked(Sense::IsNot)));
        }
        let of_link = unless.iter().cloned().chain([stage.dispatch()]);
        let mut rules = vec![Rule::of(of_link)];
        let Some(key) = self.all.as_ref().and_then(|all| stage.chain(all)) else { return rules };
        // What has a link of its own is not asked twice.
        for link in self.named.keys() {
            let link =
                if stage.leaves() { expr::oifname(link, Sense::IsNot) } else { expr::iifname(link, Sense::IsNot) };
            unless.push(link);
        }
        unless.push(expr::jump(&stage.way.name(key)));
        rules.push(Rule::of(unless));
        rules
    }
}

fn from_itself() -> Rule {
    Rule::of([expr::iifname("lo", Sense::Is), expr::accept()])
}

/// The node's own pods are never cut from it, nor it from itself and its neighbours.
fn to_own() -> impl Iterator<Item = Rule> {
    let by_link = Rule::of([expr::oifname_prefix("cali", Sense::Is), expr::accept()]);
    // By its address too: what went to a service has the link of its first route, and other plugins' links other names.
    let by_address = Family::ALL.map(|family| {
        let to_pod = expr::address_in(family, End::Destination, &pods(family), Sense::Is);
        Rule::of([expr::family(family), to_pod, expr::accept()])
    });
    let itself = Rule::of([expr::oifname("lo", Sense::Is), expr::accept()]);
    [by_link].into_iter().chain(by_address).chain([itself]).chain(neighbours())
}

/// Lets pass what a port is kept open for. `other` is the end that is not the node, `at` the one whose port it is.
fn failsafe(port: &FailsafePort, other: End, at: End) -> Rule {
    let net = port.net.map(|net| [expr::family(net.family()), expr::in_prefix(other, net, Sense::Is)].concat());
    Rule::of([
        net.unwrap_or_default(),
        expr::protocol(port.protocol.0, Sense::Is),
        expr::port_between(at, port.port..=port.port, Sense::Is),
        expr::accept(),
    ])
    .comment("failsafe")
}
