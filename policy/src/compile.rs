//! From rules to the program. A pod's chains and a set's members each follow from the scene alone, so that one of them is
//! compiled by the same function as all.

use std::collections::BTreeMap;

use model::Protocol;
use model::object::PortMatch;

use crate::program::{Chain, Chains, Members, Program, RuleRef, Set, SetKey, SetSource, Step, Target};
use crate::ranges::Ranges;
use crate::rules::{Direction, EVERY_PORT, Peer, Policy, Ports, Rule};
use crate::scene::{Endpoint, Scene};

/// The sets that chains name, by what they are made of.
pub type Sources = BTreeMap<SetKey, SetSource>;

/// The whole program.
pub fn program(scene: &Scene) -> Program {
    let mut sources = Sources::new();
    let pods = scene
        .endpoints()
        .filter_map(|endpoint| chains(scene, endpoint, &mut sources).map(|chains| (endpoint.pod.clone(), chains)));
    let pods = pods.collect();
    let set = |source: SetSource| Set { members: members(scene, &source), source };
    Program { sets: sources.into_iter().map(|(key, source)| (key, set(source))).collect(), pods }
}

/// A pod's chains; None if no policy is about it. What they name is added to `sources`.
pub fn chains(scene: &Scene, endpoint: &Endpoint, sources: &mut Sources) -> Option<Chains> {
    let policies = scene.tiers().iter().flat_map(|tier| &tier.policies);
    let policies: Vec<&Policy> = policies.filter(|policy| policy.subject.choose(endpoint, scene)).collect();
    let [ingress, egress] = Direction::ALL.map(|direction| chain(&policies, endpoint, direction, sources));
    (ingress.is_some() || egress.is_some()).then_some(Chains { ingress, egress })
}

fn chain(policies: &[&Policy], endpoint: &Endpoint, direction: Direction, sources: &mut Sources) -> Option<Chain> {
    let mut chain = Chain { steps: Vec::new(), isolated_by: Vec::new() };
    for policy in policies {
        let Some(rules) = policy.rules(direction) else { continue };
        chain.isolated_by.push(policy.key.clone());
        for (index, rule) in rules.iter().enumerate() {
            let peers = rule.peers.as_deref().map(|peers| name(peers_source(peers), sources));
            for target in targets(rule, endpoint, direction, sources) {
                let same = |step: &Step| step.peers == peers && step.target == target;
                // What an earlier rule allows already need not be asked again.
                if !chain.steps.iter().any(same) {
                    let rule = RuleRef { policy: policy.key.clone(), index };
                    chain.steps.push(Step { peers: peers.clone(), target, rule });
                }
            }
        }
    }
    (!chain.isolated_by.is_empty()).then_some(chain)
}

/// What a rule lets be connected to; nothing if it names only ports that the pod does not have.
fn targets(rule: &Rule, endpoint: &Endpoint, direction: Direction, sources: &mut Sources) -> Vec<Target> {
    let Some(ports) = &rule.ports else { return vec![Target::Every] };
    let target = |Ports { protocol, which }: &Ports| match (which, direction) {
        (None, _) => vec![Target::Protocol(*protocol)],
        (Some(PortMatch::Numbers(range)), _) if *range == EVERY_PORT => vec![Target::Protocol(*protocol)],
        (Some(PortMatch::Numbers(range)), _) => vec![Target::Ports(*protocol, range.clone())],
        // The pod connected to is this one: its own names count.
        (Some(PortMatch::Name(port)), Direction::Ingress) => {
            endpoint.named_ports(port, *protocol).map(|number| Target::Ports(*protocol, number..=number)).collect()
        }
        (Some(PortMatch::Name(port)), Direction::Egress) => {
            vec![Target::Socket(name(SetSource::NamedPort(port.clone(), *protocol), sources))]
        }
    };
    ports.iter().flat_map(target).collect()
}

/// The same peers, however often and in whatever order they are written, are one set.
fn peers_source(peers: &[Peer]) -> SetSource {
    let mut peers: Vec<(String, Peer)> = peers.iter().map(|peer| (peer.to_string(), peer.clone())).collect();
    peers.sort_by(|a, b| a.0.cmp(&b.0));
    peers.dedup_by(|a, b| a.0 == b.0);
    SetSource::Peers(peers.into_iter().map(|(_, peer)| peer).collect())
}

fn name(source: SetSource, sources: &mut Sources) -> SetKey {
    let text = match &source {
        SetSource::Peers(peers) => peers.iter().map(Peer::to_string).collect::<Vec<_>>().join(" | "),
        SetSource::NamedPort(name, protocol) => format!("port {name:?}/{protocol}"),
    };
    let key = SetKey(text.into());
    sources.entry(key.clone()).or_insert(source);
    key
}

/// What is in a set.
pub fn members(scene: &Scene, source: &SetSource) -> Members {
    match source {
        SetSource::NamedPort(name, protocol) => Members::Sockets(sockets(scene, name, *protocol)),
        SetSource::Peers(peers) => {
            let pods: Vec<_> =
                peers.iter().filter_map(|p| if let Peer::Pods(pods) = p { Some(pods) } else { None }).collect();
            let chosen = scene.endpoints().filter(|endpoint| pods.iter().any(|pods| pods.choose(endpoint, scene)));
            let nets = peers.iter().filter_map(|peer| match peer {
                Peer::Net { cidr, except } => Some((*cidr, except.clone())),
                Peer::Pods(_) => None,
            });
            Members::Addresses(Ranges::new(chosen.flat_map(|endpoint| endpoint.addresses.iter().copied()), nets))
        }
    }
}

fn sockets(
    scene: &Scene,
    name: &str,
    protocol: Protocol,
) -> std::collections::BTreeSet<(std::net::IpAddr, Protocol, u16)> {
    let of = |endpoint: &'_ Endpoint| {
        let ports: Vec<u16> = endpoint.named_ports(name, protocol).collect();
        let each =
            |address: &std::net::IpAddr| ports.iter().map(|port| (*address, protocol, *port)).collect::<Vec<_>>();
        endpoint.addresses.iter().flat_map(each).collect::<Vec<_>>()
    };
    scene.endpoints().flat_map(of).collect()
}
