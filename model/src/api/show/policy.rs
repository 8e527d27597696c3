//! What policies do to the pods of this node: which apply, what they say of a connection, what they dropped.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Protocol;

/// A connection that is asked about. The ends are written as a person writes them: `namespace/pod`, an address, `host`
/// (this node), or as a destination `service/namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Between {
    /// Who connects.
    pub from: String,
    /// Whom to.
    pub to: String,
    /// Protocol and port.
    #[serde(flatten)]
    pub connection: Connection,
}

/// What is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connection {
    /// `TCP`, `UDP`, `SCTP`, or another by name or number.
    pub protocol: Protocol,
    /// Destination port; 0 with a protocol without ports.
    pub port: u16,
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            0 => self.protocol.fmt(f),
            port => write!(f, "{} port {port}", self.protocol),
        }
    }
}

/// Somebody who sends or receives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndView {
    /// What it is.
    pub kind: EndKind,
    /// `namespace/name` of a pod or Service, a node's name; empty of an address that nobody here knows.
    pub name: String,
    /// The address that is used.
    pub address: IpAddr,
    /// The node that it is on; empty if not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub node: String,
}

/// What an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndKind {
    /// A pod.
    Pod,
    /// A node.
    Node,
    /// A Service.
    Service,
    /// An address that no object names.
    Address,
}

impl fmt::Display for EndView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EndView { kind, name, address, .. } = self;
        match kind {
            EndKind::Pod => write!(f, "{name} ({address})"),
            EndKind::Node => write!(f, "node {name} ({address})"),
            EndKind::Service => write!(f, "service {name} ({address})"),
            EndKind::Address => address.fmt(f),
        }
    }
}

/// How many policies are about a pod of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyPodView {
    /// `namespace/name` of the pod, or `HostEndpoint/name`.
    pub endpoint: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// About what comes in.
    pub ingress: PolicyCount,
    /// About what goes out.
    pub egress: PolicyCount,
}

/// How many policies are about an endpoint in one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyCount {
    /// In force.
    pub policies: u64,
    /// Staged: counted, not enforced.
    pub staged: u64,
}

/// All about the policies of one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyView {
    /// `namespace/name` of the pod, or `HostEndpoint/name`.
    pub endpoint: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// What comes in.
    pub ingress: PolicyChainView,
    /// What goes out.
    pub egress: PolicyChainView,
    /// Why counters are missing; empty if they are not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub counters: String,
}

/// One direction of an endpoint: tiers in the order in which they are asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyChainView {
    /// No policy is about it: everything passes.
    pub open: bool,
    /// The chain in the kernel's table; none if it is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<String>,
    /// In order.
    pub tiers: Vec<PolicyTierView>,
    /// What is more than the kernel takes, and is denied instead: a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut_short: Vec<String>,
}

/// One tier of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTierView {
    /// Its name.
    pub tier: String,
    /// Its policies about this endpoint, in the order in which they are asked.
    pub policies: Vec<PolicyRulesView>,
    /// `Deny` or `Pass`: what becomes of what none of its rules decided.
    pub end: String,
    /// What came to the end and was dropped there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<CounterView>,
}

/// What one policy says of a direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRulesView {
    /// The object: `NetworkPolicy/shop/web`.
    pub object: String,
    /// Counted, not enforced.
    pub staged: bool,
    /// In order; empty: it isolates and allows nothing.
    pub rules: Vec<PolicyRuleView>,
}

/// One rule of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyRuleView {
    /// Counted from 0, as in `spec.ingress[0]`.
    pub rule: u64,
    /// `Allow`, `Deny`, `Pass` or `Log`.
    pub action: String,
    /// What has to hold, for a person; a rule that is several steps in the kernel has one text for each.
    pub matches: Vec<String>,
    /// What it decided, of all pods that share the chain; none where the kernel was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counter: Option<CounterView>,
}

/// Packets and octets: of connections their first packets only, as established ones are not judged again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterView {
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub bytes: u64,
}

impl CounterView {
    /// Both together.
    pub fn and(self, other: CounterView) -> CounterView {
        CounterView {
            packets: self.packets.saturating_add(other.packets),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// What one policy did in the kernel's table, over all chains that it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyCounterView {
    /// The object.
    pub object: String,
    /// `allow`, `deny`, `pass` or `log`.
    pub action: String,
    /// How often.
    #[serde(flatten)]
    pub counter: CounterView,
    /// Staged: it would have.
    pub staged: bool,
}

/// What the policies on both sides say of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTestView {
    /// Who connects.
    pub from: EndView,
    /// Whom to.
    pub to: EndView,
    /// Protocol and port.
    pub connection: Connection,
    /// By the sender's policies.
    pub egress: JudgedView,
    /// By the receiver's policies.
    pub ingress: JudgedView,
    /// Both together.
    pub verdict: PolicyVerdict,
}

/// What the policies of one side say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JudgedView {
    /// Whether it passes.
    pub verdict: PolicyVerdict,
    /// Why, for a person.
    pub reason: String,
    /// The tier that decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// The object whose rule decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// Its rule, counted from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u64>,
    /// The policies whose tier refused it because none of their rules matched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unmatched: Vec<String>,
    /// What staged policies would have done, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub staged: Vec<StagedView>,
}

/// What a staged policy would have done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StagedView {
    /// The object.
    pub object: String,
    /// Its rule that matches; none: no rule of it does.
    pub rule: Option<u64>,
    /// `Allow`, `Deny`, `Pass`, or `no rule matches`.
    pub action: String,
}

/// Whether a connection passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PolicyVerdict {
    /// It does.
    Allowed,
    /// It does not.
    Denied,
    /// Another node decides, or nobody: this node has no policies for it.
    Elsewhere,
}

impl PolicyVerdict {
    /// The word of the listing.
    pub const fn word(self) -> &'static str {
        match self {
            PolicyVerdict::Allowed => "allowed",
            PolicyVerdict::Denied => "denied",
            PolicyVerdict::Elsewhere => "elsewhere",
        }
    }

    /// Denied if either is.
    pub fn and(self, other: PolicyVerdict) -> PolicyVerdict {
        match (self, other) {
            (PolicyVerdict::Denied, _) | (_, PolicyVerdict::Denied) => PolicyVerdict::Denied,
            (PolicyVerdict::Elsewhere, _) | (_, PolicyVerdict::Elsewhere) => PolicyVerdict::Elsewhere,
            (PolicyVerdict::Allowed, PolicyVerdict::Allowed) => PolicyVerdict::Allowed,
        }
    }
}

/// The last packets that were dropped, and those that rules with action Log chose.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DenialsView {
    /// The oldest first.
    pub denials: Vec<DenialView>,
    /// How many before these are no longer remembered.
    pub forgotten: u64,
    /// How many were not taken in, because there were too many at once.
    pub missed: u64,
    /// Why none come; empty while the kernel's group is read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub problem: String,
}

/// A packet that was dropped, or that a rule with action Log chose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DenialView {
    /// When it was seen.
    pub at: String,
    /// What happened to it.
    pub event: PolicyEvent,
    /// `ingress` or `egress`; empty where the kernel did not say.
    pub direction: String,
    /// Who sent it.
    pub from: EndView,
    /// Whom to.
    pub to: EndView,
    /// Protocol and destination port.
    #[serde(flatten)]
    pub connection: Connection,
    /// Source port; 0 with a protocol without ports.
    pub source_port: u16,
    /// What the pod's policies say of it now; of a logged one, the rule that logged it.
    pub judged: JudgedView,
}

/// Why a packet is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PolicyEvent {
    /// It was dropped.
    Denied,
    /// A rule with action Log chose it; what became of it others decided.
    Logged,
}

impl PolicyEvent {
    /// The word of the listing.
    pub const fn word(self) -> &'static str {
        match self {
            PolicyEvent::Denied => "denied",
            PolicyEvent::Logged => "logged",
        }
    }
}
