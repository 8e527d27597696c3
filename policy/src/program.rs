//! What runs: sets of addresses, and for every pod and direction a chain of steps; and what it decides about a packet.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use model::object::ObjectKey;
use model::{PodRef, Protocol};
use serde::{Deserialize, Serialize};

use crate::ranges::Ranges;
use crate::rules::{Direction, Peer};

/// The compiled policies. What does not depend on a pod, its chains, is shared: sets, by what they are made of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Program {
    /// Every set that a chain names.
    pub sets: BTreeMap<SetKey, Set>,
    /// The chains of every pod that a policy is about. A pod that is not here is open in both directions.
    pub pods: BTreeMap<PodRef, Chains>,
}

/// The chains of a pod.
#[derive(Debug, Clone, PartialEq)]
pub struct Chains {
    /// For what comes in; None: it is open.
    pub ingress: Option<Chain>,
    /// For what goes out; None: it is open.
    pub egress: Option<Chain>,
}

/// Steps in order; what matches none of them is blocked.
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// The first that matches allows.
    pub steps: Vec<Step>,
    /// The policies that choose the pod in this direction: why it is not open.
    pub isolated_by: Vec<ObjectKey>,
}

/// Allows what matches all of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The other side is in this set; None: anyone.
    pub peers: Option<SetKey>,
    /// What is connected to.
    pub target: Target,
    /// Where it comes from.
    pub rule: RuleRef,
}

/// What is connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Anything.
    Every,
    /// Any port of a protocol.
    Protocol(Protocol),
    /// Ports of a protocol.
    Ports(Protocol, RangeInclusive<u16>),
    /// An address with a port that are together in this set.
    Socket(SetKey),
}

/// A rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleRef {
    /// The policy.
    pub policy: ObjectKey,
    /// The direction's rule, counted from 0 as in `spec.ingress[0]`.
    pub index: usize,
}

/// What a set is made of, as text: the same text, the same set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetKey(pub(crate) Arc<str>);

impl fmt::Display for SetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A set: what it is made of, and what is in it now.
#[derive(Debug, Clone, PartialEq)]
pub struct Set {
    /// What it is made of.
    pub source: SetSource,
    /// What is in it.
    pub members: Members,
}

/// What a set is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum SetSource {
    /// The addresses of any of these.
    Peers(Vec<Peer>),
    /// Addresses with ports that pods have given this name.
    NamedPort(String, Protocol),
}

/// What is in a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// Addresses.
    Addresses(Ranges),
    /// Addresses, protocols and ports.
    Sockets(BTreeSet<(IpAddr, Protocol, u16)>),
}

/// The first packet of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Its source.
    pub from: IpAddr,
    /// Its destination, after any translation for a Service.
    pub to: IpAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its destination port.
    pub port: u16,
}

/// Whether a packet passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It does.
    Allowed,
    /// It does not.
    Blocked,
}

impl Verdict {
    /// Allowed if both are.
    pub fn and(self, other: Verdict) -> Verdict {
        if self == Verdict::Allowed { other } else { self }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Allowed => "allowed",
            Verdict::Blocked => "blocked",
        })
    }
}

/// A verdict with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Allowed: no policy is about the pod in this direction.
    Open,
    /// Allowed by a rule.
    Rule(RuleRef),
    /// Blocked: these policies are about the pod, and none of their rules matches.
    NoRule(Vec<ObjectKey>),
}

impl Decision {
    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        match self {
            Decision::Open | Decision::Rule(_) => Verdict::Allowed,
            Decision::NoRule(_) => Verdict::Blocked,
        }
    }
}

impl Program {
    /// What the pod's policies say of a packet to it or from it.
    pub fn decide(&self, pod: &PodRef, direction: Direction, packet: &Packet) -> Decision {
        let chains = self.pods.get(pod);
        let chain = chains.and_then(|chains| match direction {
            Direction::Ingress => chains.ingress.as_ref(),
            Direction::Egress => chains.egress.as_ref(),
        });
        let Some(chain) = chain else { return Decision::Open };
        let peer = match direction {
            Direction::Ingress => packet.from,
            Direction::Egress => packet.to,
        };
        match chain.steps.iter().find(|step| self.matches(step, peer, packet)) {
            Some(step) => Decision::Rule(step.rule.clone()),
            None => Decision::NoRule(chain.isolated_by.clone()),
        }
    }

    fn matches(&self, step: &Step, peer: IpAddr, packet: &Packet) -> bool {
        let target = match &step.target {
            Target::Every => true,
            Target::Protocol(protocol) => *protocol == packet.protocol,
            Target::Ports(protocol, ports) => *protocol == packet.protocol && ports.contains(&packet.port),
            Target::Socket(key) => match self.sets.get(key).map(|set| &set.members) {
                Some(Members::Sockets(sockets)) => sockets.contains(&(packet.to, packet.protocol, packet.port)),
                _ => false,
            },
        };
        target
            && step.peers.as_ref().is_none_or(|key| match self.sets.get(key).map(|set| &set.members) {
                Some(Members::Addresses(ranges)) => ranges.contains(peer),
                _ => false,
            })
    }
}
