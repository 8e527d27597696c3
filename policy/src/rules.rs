//! Policies in one common form, whatever kind they come from: what they are about, where they stand, and rules of conditions.
//!
//! Order of verdicts as Calico has it: tiers by order and name; in a tier policies by order and name. The first rule that
//! matches decides; an endpoint that a policy of a tier is about is at the tier's end refused what no rule allowed, unless
//! the tier passes it on.

use std::fmt;
use std::ops::RangeInclusive;

use model::object::{Endpoints, HostTraffic, Namespaces, ObjectKey, Order, ServiceName};
use model::selector::Selector;
use model::{Family, Prefix, Protocol};
use serde::{Deserialize, Serialize};

use crate::program::{Action, Sense};

/// Which way a connection goes, seen from an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the endpoint.
    Ingress,
    /// From the endpoint.
    Egress,
}

impl Direction {
    /// Both.
    pub const ALL: [Direction; 2] = [Direction::Ingress, Direction::Egress];

    /// At which end of it the endpoint is.
    pub fn own_side(self) -> Side {
        match self {
            Direction::Ingress => Side::Destination,
            Direction::Egress => Side::Source,
        }
    }

    /// At which end of it the other is.
    pub fn other_side(self) -> Side {
        match self {
            Direction::Ingress => Side::Source,
            Direction::Egress => Side::Destination,
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        })
    }
}

/// An end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Who opens it.
    Source,
    /// Whom to.
    Destination,
}

/// A policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// The object it comes from.
    pub key: ObjectKey,
    /// The tier that it is in.
    pub tier: String,
    /// Its order there.
    pub order: Order,
    /// What it is about.
    pub subject: Choice,
    /// Of which packets of a host it speaks.
    pub traffic: HostTraffic,
    /// Whether it decides.
    pub force: Force,
    /// Rules for what comes in; None if it says nothing of that.
    pub ingress: Option<Vec<Rule>>,
    /// Rules for what goes out; None if it says nothing of that.
    pub egress: Option<Vec<Rule>>,
}

/// Whether a policy decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// It does.
    Enforced,
    /// It is counted what it would decide.
    Staged,
}

impl Policy {
    /// Its rules of a direction; None if it says nothing of that.
    pub fn rules(&self, direction: Direction) -> Option<&[Rule]> {
        match direction {
            Direction::Ingress => self.ingress.as_deref(),
            Direction::Egress => self.egress.as_deref(),
        }
    }
}

/// A rule: what it does with what all of its parts match.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// What it does.
    pub action: Action,
    /// All of them must match; none: everything.
    pub parts: Vec<Part>,
}

/// Alternatives, of which any must hold; none: nothing matches. Each is conditions that must hold together.
pub type Part = Vec<Vec<Condition>>;

/// What has to be so of a packet. Those about ports and ICMP come after one that settles the protocol.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// It is of this family.
    Family(Family),
    /// Its protocol.
    Protocol(Protocol, Sense),
    /// A side of it is one of a group.
    In(Side, Group, Sense),
    /// A side's port is in any of these.
    Ports(Side, Vec<RangeInclusive<u16>>, Sense),
    /// A side's port is one that the endpoint there calls by any of these names.
    NamedPorts(Side, Vec<String>, Protocol, Sense),
    /// A side's address, protocol and port are those of a Service's endpoint.
    ServicePorts(Side, ServiceName),
    /// ICMP type and code.
    Icmp {
        /// Type.
        kind: u8,
        /// Code; None is any.
        code: Option<u8>,
        /// Whether it has to be so.
        sense: Sense,
    },
}

/// Addresses.
#[derive(Debug, Clone, PartialEq)]
pub enum Group {
    /// Those of whom any of these chooses.
    Chosen(Vec<Choice>),
    /// Nets less others.
    Nets(Vec<(Prefix, Vec<Prefix>)>),
    /// Those of a Service's endpoints.
    Service(ServiceName),
}

/// Which of the cluster's endpoints.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Choice {
    /// Among whom.
    pub among: Among,
    /// By what.
    pub endpoints: Endpoints,
}

/// Among whom is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Among {
    /// Pods by their own labels, in namespaces that have been told of: as Kubernetes chooses.
    Pods,
    /// Pods, host endpoints and network sets, also by the labels that Calico adds to their own.
    Endpoints,
    /// Nodes, by their labels.
    Nodes,
}

impl Choice {
    /// As Kubernetes chooses.
    pub fn pods(namespaces: Namespaces, labels: Selector) -> Choice {
        Choice { among: Among::Pods, endpoints: Endpoints { namespaces, labels, service_accounts: None } }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Endpoints { namespaces, labels, service_accounts } = &self.endpoints;
        f.write_str(match self.among {
            Among::Pods => "pods",
            Among::Endpoints => "endpoints",
            Among::Nodes => "nodes",
        })?;
        match namespaces {
            Namespaces::Any => {}
            Namespaces::Named(name) => write!(f, " of namespace {name}")?,
            Namespaces::Chosen(selector) => write!(f, " of namespaces ({selector})")?,
        }
        if let Some(accounts) = service_accounts {
            f.write_str(" of accounts")?;
            accounts.names.iter().try_for_each(|name| write!(f, " {name}"))?;
            if !accounts.labels.is_all() || accounts.names.is_empty() {
                write!(f, " ({})", accounts.labels)?;
            }
        }
        write!(f, " ({labels})")
    }
}
