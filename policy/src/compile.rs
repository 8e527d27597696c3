//! From rules to the program.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use model::Protocol;
use model::object::PortMatch;

use crate::program::{
    Action, Chain, ChainKey, Chains, End, EndpointKey, HostChains, Item, Members, MembersKind, Program, Rest, RuleRef,
    Sense, Set, SetKey, Step, Test, TierChain,
};
use crate::ranges::Ranges;
use crate::rules::{Direction, EVERY_PORT, Peer, Pods, Policy, Ports, Rule};
use crate::scene::{Endpoint, Scene};

type Sets = BTreeMap<SetKey, Set>;

/// The whole program.
pub fn program(scene: &Scene) -> Program {
    let mut program = Program::default();
    for endpoint in scene.endpoints() {
        let chosen: Vec<(&str, Vec<&Policy>)> = scene
            .tiers()
            .iter()
            .map(|tier| {
                (tier.name.as_str(), tier.policies.iter().filter(|p| p.subject.choose(endpoint, scene)).collect())
            })
            .collect();
        let [ingress, egress] = Direction::ALL.map(|direction| {
            let chain = chain(scene, &chosen, endpoint, direction, &mut program.sets)?;
            let key = ChainKey::of(&chain);
            program.chains.entry(key.clone()).or_insert_with(|| Arc::new(chain));
            Some(key)
        });
        if ingress.is_some() || egress.is_some() {
            let chains = Chains { ingress, egress, host: HostChains::default() };
            program.endpoints.insert(EndpointKey::Pod(endpoint.pod.clone()), chains);
        }
    }
    program
}

fn chain(
    scene: &Scene,
    chosen: &[(&str, Vec<&Policy>)],
    endpoint: &Endpoint,
    direction: Direction,
    sets: &mut Sets,
) -> Option<Chain> {
    let mut tiers = Vec::new();
    for (tier, policies) in chosen {
        let (mut items, mut isolating) = (Vec::new(), Vec::new());
        for policy in policies {
            let Some(rules) = policy.rules(direction) else { continue };
            isolating.push(policy.key.clone());
            for (index, rule) in rules.iter().enumerate() {
                let rule_ref = RuleRef { policy: policy.key.clone(), direction, index };
                for tests in alternatives(scene, rule, endpoint, direction, sets) {
                    items.push(Item::Step(Arc::new(Step { tests, action: Action::Allow, rule: rule_ref.clone() })));
                }
            }
        }
        if !isolating.is_empty() {
            tiers.push(TierChain { tier: tier.to_string(), items, end: End::Deny { policies: isolating } });
        }
    }
    (!tiers.is_empty()).then_some(Chain { tiers, rest: Rest::Allow })
}

/// A rule as lists of tests, of which any allows.
fn alternatives(
    scene: &Scene,
    rule: &Rule,
    endpoint: &Endpoint,
    direction: Direction,
    sets: &mut Sets,
) -> Vec<Vec<Test>> {
    let peers = match &rule.peers {
        None => vec![vec![]],
        Some(peers) => {
            let side = |key| match direction {
                Direction::Ingress => vec![Test::Source(key, Sense::Is)],
                Direction::Egress => vec![Test::Destination(key, Sense::Is)],
            };
            peer_sets(scene, peers, sets).into_iter().map(side).collect()
        }
    };
    let ports = match &rule.ports {
        None => vec![vec![]],
        Some(ports) => ports.iter().flat_map(|ports| targets(scene, ports, endpoint, direction, sets)).collect(),
    };
    let both = |peer: &Vec<Test>| {
        let peer = peer.clone();
        ports.iter().map(move |port| port.iter().cloned().chain(peer.clone()).collect()).collect::<Vec<Vec<Test>>>()
    };
    peers.iter().flat_map(both).collect()
}

fn peer_sets(scene: &Scene, peers: &[Peer], sets: &mut Sets) -> Vec<SetKey> {
    let texts = |of: &dyn Fn(&Peer) -> bool| {
        let texts: BTreeSet<String> = peers.iter().filter(|peer| of(peer)).map(Peer::to_string).collect();
        texts.into_iter().collect::<Vec<_>>().join(" | ")
    };
    let pods: Vec<&Pods> =
        peers.iter().filter_map(|p| if let Peer::Pods(pods) = p { Some(pods) } else { None }).collect();
    let nets = peers.iter().filter_map(|peer| match peer {
        Peer::Net { cidr, except } => Some((*cidr, except.clone())),
        Peer::Pods(_) => None,
    });
    let mut keys = Vec::new();
    if !pods.is_empty() {
        let chosen = scene.endpoints().filter(|endpoint| pods.iter().any(|pods| pods.choose(endpoint, scene)));
        let members = Members::Addresses(chosen.flat_map(|endpoint| endpoint.addresses.iter().copied()).collect());
        keys.push(add(&texts(&|peer| matches!(peer, Peer::Pods(_))), members, sets));
    }
    if pods.len() < peers.len() {
        let members = Members::Nets(Ranges::new([], nets));
        keys.push(add(&texts(&|peer| matches!(peer, Peer::Net { .. })), members, sets));
    }
    keys
}

/// What a rule lets be connected to; nothing if it names only a port that the pod does not have.
fn targets(scene: &Scene, ports: &Ports, endpoint: &Endpoint, direction: Direction, sets: &mut Sets) -> Vec<Vec<Test>> {
    let protocol = Test::Protocol(ports.protocol, Sense::Is);
    let numbers = |range| Test::DestinationPorts(vec![range], Sense::Is);
    match (&ports.which, direction) {
        (None, _) => vec![vec![protocol]],
        (Some(PortMatch::Numbers(range)), _) if *range == EVERY_PORT => vec![vec![protocol]],
        (Some(PortMatch::Numbers(range)), _) => vec![vec![protocol, numbers(range.clone())]],
        // The pod connected to is this one: its own names count.
        (Some(PortMatch::Name(name)), Direction::Ingress) => endpoint
            .named_ports(name, ports.protocol)
            .map(|number| vec![protocol.clone(), numbers(number..=number)])
            .collect(),
        (Some(PortMatch::Name(name)), Direction::Egress) => {
            let about = format!("port {name:?}/{}", ports.protocol);
            let key = add(&about, Members::Sockets(sockets(scene, name, ports.protocol)), sets);
            vec![vec![protocol, Test::DestinationSocket(key, Sense::Is)]]
        }
    }
}

fn add(about: &str, members: Members, sets: &mut Sets) -> SetKey {
    let kind: MembersKind = members.kind();
    let key = SetKey::of(kind, about);
    sets.entry(key.clone()).or_insert_with(|| Set { about: about.into(), members });
    key
}

fn sockets(scene: &Scene, name: &str, protocol: Protocol) -> BTreeSet<crate::program::Socket> {
    let of = |endpoint: &'_ Endpoint| {
        let ports: Vec<u16> = endpoint.named_ports(name, protocol).collect();
        let each =
            |address: &std::net::IpAddr| ports.iter().map(|port| (*address, protocol, *port)).collect::<Vec<_>>();
        endpoint.addresses.iter().flat_map(each).collect::<Vec<_>>()
    };
    scene.endpoints().flat_map(of).collect()
}
