//! The way of a packet, hop by hop: the question and the view of `margayctl trace`.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::policy::{Connection, EndView, JudgedView};
use crate::Prefix;

/// The way of a connection's first packet, as this node would have it go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceView {
    /// Who sends.
    pub from: EndView,
    /// Who is asked for.
    pub to: EndView,
    /// Protocol and port.
    pub connection: Connection,
    /// In the order in which the kernel comes by them. The last one dropped it, handed it over, or is beyond this node.
    pub hops: Vec<HopView>,
    /// What becomes of it on this node.
    pub outcome: TraceOutcome,
    /// One sentence that sums it up.
    pub verdict: String,
}

/// What becomes of a packet on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TraceOutcome {
    /// It is given to the pod or to the host itself.
    Delivered,
    /// It leaves this node.
    Sent,
    /// It ends here.
    Dropped,
    /// It depends on what this node does not know.
    Unknown,
}

/// One hop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HopView {
    /// What is come by.
    pub step: TraceStep,
    /// What it does to the packet.
    pub effect: Effect,
    /// What is there, for a person.
    pub what: String,
    /// Why.
    pub reason: String,
    /// The prefix of a route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Prefix>,
    /// Its next hops; more than one: the kernel takes one of them, by the addresses and ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next_hops: Vec<IpAddr>,
    /// Links: a pod's, or those of `next_hops`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<String>,
    /// The addresses outside, in a tunnel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outer: Option<OuterView>,
    /// Where a Service's address may lead.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<SocketAddr>,
    /// What policies say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<JudgedView>,
}

impl HopView {
    /// A hop of which there is no more to say.
    pub fn new(step: TraceStep, effect: Effect, what: impl Into<String>, reason: impl Into<String>) -> HopView {
        HopView {
            step,
            effect,
            what: what.into(),
            reason: reason.into(),
            prefix: None,
            next_hops: Vec::new(),
            interfaces: Vec::new(),
            outer: None,
            endpoints: Vec::new(),
            judged: None,
        }
    }
}

/// Addresses of the outer header (RFC 2003).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OuterView {
    /// This node's.
    pub source: Option<IpAddr>,
    /// The other node's.
    pub destination: IpAddr,
}

/// What a packet comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TraceStep {
    /// Where it comes from: a pod's link, the host, or elsewhere.
    Origin,
    /// Whether its source is the pod's own.
    Source,
    /// Translation of a Service's address.
    Service,
    /// The kernel's table.
    Route,
    /// Policies of the sender.
    Egress,
    /// Policies of the receiver.
    Ingress,
    /// Policies of this node's HostEndpoints.
    Host,
    /// Whether it leaves with the node's address.
    Masquerade,
    /// Whether it goes in another packet.
    Tunnel,
    /// Where it goes in the end.
    Destination,
}

impl TraceStep {
    /// The word of the listing.
    pub const fn word(self) -> &'static str {
        match self {
            TraceStep::Origin => "from",
            TraceStep::Source => "source",
            TraceStep::Service => "service",
            TraceStep::Route => "route",
            TraceStep::Egress => "egress",
            TraceStep::Ingress => "ingress",
            TraceStep::Host => "host",
            TraceStep::Masquerade => "masquerade",
            TraceStep::Tunnel => "tunnel",
            TraceStep::Destination => "to",
        }
    }
}

/// What a hop does to the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// It goes on as it is.
    Passes,
    /// It goes on otherwise: translated, or in another packet.
    Changes,
    /// It ends.
    Drops,
    /// Another decides, or it is not known.
    Elsewhere,
}

impl Effect {
    /// The word of the listing.
    pub const fn word(self) -> &'static str {
        match self {
            Effect::Passes => "ok",
            Effect::Changes => "changed",
            Effect::Drops => "DROPPED",
            Effect::Elsewhere => "?",
        }
    }
}
