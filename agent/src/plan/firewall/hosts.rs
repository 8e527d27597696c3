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
use super::chains::Way;
use super::sessions::{Sessions, sessions};
use crate::plan::bgp::BgpPlan;
use crate::world::World;

/// Before `dstnat` (-100) and after connections are known (-200).
const BEFORE_DNAT: i32 = -150;
/// With the chain for pods, and after it by its place.
const AFTER_PODS: i32 = -4;
const BEFORE_FILTER: i32 = -5;

/// The node's links that policies are about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hosts {
    /// By the name of the link.
    named: BTreeMap<String, Chains>,
    /// Of all links that have no chains of their own.
    all: Option<Chains>,
    inbound: Vec<FailsafePort>,
    outbound: Vec<FailsafePort>,
    sessions: Sessions,
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

/// Where in the packet's way a chain of a host is asked.
#[derive(Debug, Clone, Copy)]
struct Stage {
    map: &'static str,
    way: Way,
    of: fn(&Chains) -> Option<&ChainKey>,
}

const LOCAL_IN: Stage = Stage { map: "host-ingress", way: Way::Ingress, of: |chains| chains.ingress.as_ref() };
const LOCAL_OUT: Stage = Stage { map: "host-egress", way: Way::Egress, of: |chains| chains.egress.as_ref() };
const THROUGH_IN: Stage =
    Stage { map: "host-forward-ingress", way: Way::Through, of: |chains| chains.host.forward_ingress.as_ref() };
const THROUGH_OUT: Stage =
    Stage { map: "host-forward-egress", way: Way::Egress, of: |chains| chains.host.forward_egress.as_ref() };
const FIRST: Stage = Stage { map: "host-pre-dnat", way: Way::Through, of: |chains| chains.host.pre_dnat.as_ref() };
const STAGES: [Stage; 5] = [LOCAL_IN, LOCAL_OUT, THROUGH_IN, THROUGH_OUT, FIRST];

impl Hosts {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.all.is_none()
    }

    /// The chains that lead from here, with the way in which each is asked.
    pub fn users(&self) -> Vec<(Way, ChainKey)> {
        let all = self.named.values().chain(&self.all);
        all.flat_map(|chains| STAGES.into_iter().filter_map(|stage| Some((stage.way, (stage.of)(chains)?.clone()))))
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
        // The node's own pods are never cut from it, nor it from itself.
        output.push(Rule::of([expr::oifname_prefix("cali", Sense::Is), expr::accept()]));
        // By its address too: what went to a service has the link of its first route, and other plugins' links other names.
        for family in Family::ALL {
            let to_pod = expr::address_in(family, End::Destination, &pods(family), Sense::Is);
            output.push(Rule::of([expr::family(family), to_pod, expr::accept()]));
        }
        output.push(Rule::of([expr::oifname("lo", Sense::Is), expr::accept()]));
        output.extend(neighbours());
        output.extend(tunnelled(End::Destination));
        output.extend(self.sessions.rules(End::Destination));
        output.extend(self.outbound.iter().map(|port| failsafe(port, End::Destination)));
        output.extend(self.rules(LOCAL_OUT, expr::oifname_vmap(LOCAL_OUT.map)));
        let mut forward = vec![Rule::of([expr::ct_established(), expr::accept()])];
        forward.extend(self.rules(THROUGH_IN, expr::iifname_vmap(THROUGH_IN.map)));
        forward.extend(self.rules(THROUGH_OUT, expr::oifname_vmap(THROUGH_OUT.map)));
        let mut first = vec![Rule::of([expr::iifname("lo", Sense::Is), expr::accept()])];
        first.push(Rule::of([expr::ct_established(), expr::accept()]));
        first.extend(neighbours());
        first.extend(tunnelled(End::Source));
        first.extend(self.sessions.rules(End::Source));
        first.extend(self.inbound.iter().map(|port| failsafe(port, End::Source)));
        first.extend(self.rules(FIRST, expr::iifname_vmap(FIRST.map)));
        let chains = [
            ("output", Hook::filter(OUTPUT, BEFORE_FILTER), output),
            ("host-forward", Hook::filter(FORWARD, AFTER_PODS), forward),
            ("host-first", Hook::filter(PREROUTING, BEFORE_DNAT), first),
        ];
        for (name, hook, rules) in chains {
            table.chains.insert(name.into(), Chain::base(hook, rules).into());
        }
    }

    /// The rules for packets to the node's own processes.
    pub(super) fn local(&self) -> Vec<Rule> {
        if self.is_empty() {
            return Vec::new();
        }
        let itself = Rule::of([expr::iifname("lo", Sense::Is), expr::accept()]);
        let open = self.inbound.iter().map(|port| failsafe(port, End::Source));
        let open = self.sessions.rules(End::Source).chain(open);
        [itself].into_iter().chain(open).chain(self.rules(LOCAL_IN, expr::iifname_vmap(LOCAL_IN.map))).collect()
    }

    fn map(&self, stage: Stage) -> VerdictMap {
        let mut map = VerdictMap::new(MapKey::Interface);
        for (link, chains) in &self.named {
            // A link of its own is not treated as all are.
            let verdict = (stage.of)(chains).map_or(Verdict::Continue, |key| Verdict::Jump(stage.way.name(key)));
            map.elements.insert(Key::Interface(link.clone()), verdict);
        }
        map
    }

    fn rules(&self, stage: Stage, dispatch: Part) -> Vec<Rule> {
        let mut rules = vec![Rule::of([dispatch])];
        let Some(key) = self.all.as_ref().and_then(|all| (stage.of)(all)) else { return rules };
        // What has a link of its own is not asked twice.
        let mut rest: Vec<Part> = Vec::new();
        for link in self.named.keys() {
            rest.push(match stage.map {
                "host-egress" | "host-forward-egress" => expr::oifname(link, Sense::IsNot),
                _ => expr::iifname(link, Sense::IsNot),
            });
        }
        rest.push(expr::jump(&stage.way.name(key)));
        rules.push(Rule::of(rest));
        rules
    }
}

/// Lets pass what a port is kept open for. `other` is the end that is not the node.
fn failsafe(port: &FailsafePort, other: End) -> Rule {
    let net = port.net.map(|net| [expr::family(net.family()), expr::in_prefix(other, net, Sense::Is)].concat());
    Rule::of([
        net.unwrap_or_default(),
        expr::protocol(port.protocol.0, Sense::Is),
        expr::port_between(End::Destination, port.port..=port.port, Sense::Is),
        expr::accept(),
    ])
    .comment("failsafe")
}
