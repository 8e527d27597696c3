//! What a program says of a packet, and why.

use std::fmt;
use std::net::IpAddr;

use model::object::ObjectKey;
use model::{Family, Protocol};
use serde::{Deserialize, Serialize};

use crate::program::{Action, Chain, Chains, End, EndpointKey, Item, Program, Rest, RuleRef, Step, Test};
use crate::rules::Direction;

/// The first packet of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Packet {
    /// Its source.
    pub from: IpAddr,
    /// Its destination, after any translation for a Service.
    pub to: IpAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// What its protocol tells besides.
    pub head: Head,
}

/// What policies read of the header behind the IP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Head {
    /// Of a protocol with ports.
    Ports {
        /// Source port.
        source: u16,
        /// Destination port.
        destination: u16,
    },
    /// Of ICMP and ICMPv6.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Nothing.
    Other,
}

/// The source port of a connection that nobody has told the source port of: the first of those that hosts choose by themselves.
const EPHEMERAL: u16 = 49152;

impl Packet {
    /// That opens a connection to a port; of ICMP and ICMPv6, an echo request; of a protocol without ports, a packet.
    pub fn to_port(from: IpAddr, to: IpAddr, protocol: Protocol, port: u16) -> Packet {
        let head = match protocol {
            Protocol(1) => Head::Icmp { kind: 8, code: 0 },
            Protocol(58) => Head::Icmp { kind: 128, code: 0 },
            Protocol(6 | 17 | 33 | 132 | 136) => Head::Ports { source: EPHEMERAL, destination: port },
            _ => Head::Other,
        };
        Packet { from, to, protocol, head }
    }
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Decision {
    /// Allowed: no policy is about the endpoint in this direction.
    Open,
    /// Allowed: an endpoint always reaches itself.
    Itself,
    /// Allowed by a rule.
    Allowed(RuleRef),
    /// Blocked by a rule.
    Denied(RuleRef),
    /// Blocked at a tier's end: these policies are about the endpoint, and none of their rules decided.
    TierEnd {
        /// The tier.
        tier: String,
        /// The policies.
        policies: Vec<ObjectKey>,
    },
    /// Allowed: every tier passed it on.
    Passed,
    /// Blocked: every tier passed it on, and nobody has opened the host.
    NotOpened,
    /// Blocked: nobody has told of the pod yet, and there are policies that may be about it.
    Unknown,
}

impl Decision {
    /// The verdict.
    pub fn verdict(&self) -> Verdict {
        match self {
            Decision::Open | Decision::Itself | Decision::Allowed(_) | Decision::Passed => Verdict::Allowed,
            Decision::Denied(_) | Decision::TierEnd { .. } | Decision::NotOpened | Decision::Unknown => {
                Verdict::Blocked
            }
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Open => f.write_str("no policy is about it"),
            Decision::Itself => f.write_str("to itself"),
            Decision::Allowed(rule) => write!(f, "allowed by {rule}"),
            Decision::Denied(rule) => write!(f, "denied by {rule}"),
            Decision::TierEnd { tier, policies } => {
                write!(f, "end of tier {tier}: no rule allows it of")?;
                policies.iter().try_for_each(|policy| write!(f, " {policy}"))
            }
            Decision::Passed => f.write_str("passed by every tier"),
            Decision::NotOpened => f.write_str("passed by every tier; the host is closed"),
            Decision::Unknown => f.write_str("the pod's object was not seen yet, and policies may be about it"),
        }
    }
}

impl Program {
    /// What an endpoint's policies say of a packet to it or from it.
    pub fn decide(&self, endpoint: &EndpointKey, direction: Direction, packet: &Packet) -> Decision {
        if packet.from == packet.to {
            return Decision::Itself;
        }
        let of = |chains: &Chains| match direction {
            Direction::Ingress => chains.ingress.clone(),
            Direction::Egress => chains.egress.clone(),
        };
        let Some(key) = self.endpoints.get(endpoint).and_then(of) else { return Decision::Open };
        match self.chains.get(&key) {
            Some(chain) => self.ask(chain, packet),
            None => Decision::Open,
        }
    }

    /// What a chain says of a packet.
    pub fn ask(&self, chain: &Chain, packet: &Packet) -> Decision {
        for tier in &chain.tiers {
            let steps = tier.items.iter().filter_map(|item| match item {
                Item::Step(step) => Some(step),
                Item::Staged { .. } => None,
            });
            let mut deciding = steps.filter(|step| step.action != Action::Log);
            match deciding.find(|step| self.passes(step, packet)) {
                Some(step) if step.action == Action::Allow => return Decision::Allowed(step.rule.clone()),
                Some(step) if step.action == Action::Deny => return Decision::Denied(step.rule.clone()),
                Some(_) => {}
                None => match &tier.end {
                    End::Pass => {}
                    End::Unknown => return Decision::Unknown,
                    End::Deny { policies } => {
                        return Decision::TierEnd { tier: tier.tier.clone(), policies: policies.clone() };
                    }
                },
            }
        }
        match chain.rest {
            Rest::Allow => Decision::Passed,
            Rest::Deny => Decision::NotOpened,
        }
    }

    /// Whether a packet passes all tests of a step.
    pub fn passes(&self, step: &Step, packet: &Packet) -> bool {
        step.tests.iter().all(|test| self.holds(test, packet))
    }

    fn holds(&self, test: &Test, packet: &Packet) -> bool {
        let members = test.set().and_then(|key| self.sets.get(key)).map(|set| &set.members);
        let at = |address, sense: crate::program::Sense| sense.holds(members.is_some_and(|m| m.has_address(address)));
        let socket = |address, port| members.is_some_and(|m| m.has_socket(&(address, packet.protocol, port)));
        match (test, packet.head) {
            (Test::Family(family), _) => Family::of(packet.from) == *family,
            (Test::Protocol(protocol, sense), _) => sense.holds(packet.protocol == *protocol),
            (Test::Source(_, sense), _) => at(packet.from, *sense),
            (Test::Destination(_, sense), _) => at(packet.to, *sense),
            (Test::SourcePorts(ports, sense), Head::Ports { source, .. }) => {
                sense.holds(ports.iter().any(|range| range.contains(&source)))
            }
            (Test::DestinationPorts(ports, sense), Head::Ports { destination, .. }) => {
                sense.holds(ports.iter().any(|range| range.contains(&destination)))
            }
            (Test::SourceSocket(_, sense), Head::Ports { source, .. }) => sense.holds(socket(packet.from, source)),
            (Test::DestinationSocket(_, sense), Head::Ports { destination, .. }) => {
                sense.holds(socket(packet.to, destination))
            }
            (Test::Icmp { kind, code, sense }, Head::Icmp { kind: of, code: with }) => {
                sense.holds(*kind == of && code.is_none_or(|code| code == with))
            }
            // What a packet does not have is neither in a set nor out of it.
            _ => false,
        }
    }
}
