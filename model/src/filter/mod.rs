//! Filters of routes: rules, and how a route is held against them. What decided is part of the answer.
//!
//! Calico `api/pkg/apis/projectcalico/v3/bgpfilter.go`. The speaker and `margayctl filter test` judge by the same code.

mod chain;
mod glob;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use chain::{Chain, Decision, Filters};
pub use glob::{Glob, GlobError};

use crate::object::Community;
use crate::{Asn, Family, Prefix};

/// What happens to a route that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// It passes.
    Accept,
    /// It does not.
    Reject,
}

/// Which way a route goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// From a peer.
    Import,
    /// To a peer.
    Export,
}

/// The lists of rules that a filter has, spelled as its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum List {
    /// IPv4 to a peer.
    ExportV4,
    /// IPv4 from a peer.
    ImportV4,
    /// IPv6 to a peer.
    ExportV6,
    /// IPv6 from a peer.
    ImportV6,
}

impl List {
    /// All of them.
    pub const ALL: [List; 4] = [List::ExportV4, List::ImportV4, List::ExportV6, List::ImportV6];

    /// The list for routes of a family that go this way.
    pub const fn of(direction: Direction, family: Family) -> List {
        match (direction, family) {
            (Direction::Export, Family::Ipv4) => List::ExportV4,
            (Direction::Import, Family::Ipv4) => List::ImportV4,
            (Direction::Export, Family::Ipv6) => List::ExportV6,
            (Direction::Import, Family::Ipv6) => List::ImportV6,
        }
    }

    /// The family of the routes.
    pub const fn family(self) -> Family {
        match self {
            List::ExportV4 | List::ImportV4 => Family::Ipv4,
            List::ExportV6 | List::ImportV6 => Family::Ipv6,
        }
    }

    /// The field's name.
    pub const fn name(self) -> &'static str {
        match self {
            List::ExportV4 => "exportV4",
            List::ImportV4 => "importV4",
            List::ExportV6 => "exportV6",
            List::ImportV6 => "importV6",
        }
    }
}

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A rule: everything that it names must be so of a route. One that names nothing matches every route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// `action`.
    pub action: Action,
    /// `cidr`, `matchOperator` and `prefixLength`.
    pub prefix: Option<PrefixMatch>,
    /// `source`.
    pub source: Option<MatchSource>,
    /// `interface`: the one that the route leads out of.
    pub interface: Option<Glob>,
    /// `peerType`: of the peer that the route comes from or goes to.
    pub peer_type: Option<PeerType>,
    /// `communities.values`, of which Calico takes one.
    pub community: Option<Community>,
    /// `asPathPrefix`: how AS_PATH begins, latest first.
    pub as_path_prefix: Vec<Asn>,
    /// `priority`, in Calico's units: see [`priority_of`].
    pub priority: Option<u32>,
    /// `operations`: what is done to the route before it passes.
    pub operations: Vec<Operation>,
}

/// `cidr`, `matchOperator` and `prefixLength`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrefixMatch {
    /// How the route's prefix compares.
    pub operator: MatchOperator,
    /// With what.
    pub cidr: Prefix,
    /// Shortest prefix that counts as in, or equal to, the CIDR.
    pub min: u8,
    /// Longest prefix that does.
    pub max: u8,
}

/// `matchOperator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MatchOperator {
    /// The same prefix.
    Equal,
    /// Any other.
    NotEqual,
    /// The CIDR or a part of it.
    In,
    /// Any other.
    NotIn,
}

/// `source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MatchSource {
    /// Learned from a peer; not originated by this node.
    RemotePeers,
}

/// `peerType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerType {
    /// In another AS.
    #[serde(rename = "eBGP")]
    External,
    /// In our own AS.
    #[serde(rename = "iBGP")]
    Internal,
}

impl PeerType {
    /// As objects write them.
    pub const NAMES: [(&str, PeerType); 2] = [("eBGP", PeerType::External), ("iBGP", PeerType::Internal)];
}

/// One of `operations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Operation {
    /// `addCommunity.value`.
    AddCommunity(Community),
    /// `prependASPath.prefix`: AS_PATH then begins with these, in this order.
    PrependAsPath(Vec<Asn>),
    /// `setPriority.value`: sets LOCAL_PREF, see [`local_pref_for`].
    SetPriority(u32),
}

/// Priority of a route that has no LOCAL_PREF (Calico's normal route priority).
pub const NORMAL_PRIORITY: u32 = 1024;
/// The greatest priority that can be given to a route.
pub const MAX_PRIORITY: u32 = 2_147_483_646;
const SUM: u32 = MAX_PRIORITY + 1;

/// The priority of a route with this LOCAL_PREF: 2147483647 - LOCAL_PREF, as Calico's BIRD configuration has it. The
/// lower is preferred.
pub fn priority_of(local_pref: Option<u32>) -> u32 {
    local_pref.map_or(NORMAL_PRIORITY, |local_pref| SUM.saturating_sub(local_pref))
}

/// The LOCAL_PREF of a route with this priority: 2147483647 - priority.
pub fn local_pref_for(priority: u32) -> u32 {
    SUM.saturating_sub(priority)
}

/// Where a route comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RouteSource {
    /// This node originates it.
    Own,
    /// A peer announced it.
    Peer,
}

/// A route as rules look at it.
#[derive(Clone, Copy)]
pub struct Route<'a> {
    /// Where to.
    pub prefix: Prefix,
    /// Whence.
    pub source: RouteSource,
    /// The peer that it comes from (import) or goes to (export).
    pub peer_type: PeerType,
    /// The interface that it leads out of, where one is known.
    pub interface: Option<&'a str>,
    /// The rest of it.
    pub attributes: &'a dyn RouteAttributes,
}

/// What rules ask of a route's attributes.
pub trait RouteAttributes {
    /// Whether it carries the community.
    fn has_community(&self, community: &Community) -> bool;
    /// Whether AS_PATH begins with these, latest first.
    fn path_begins_with(&self, asns: &[Asn]) -> bool;
    /// LOCAL_PREF.
    fn local_pref(&self) -> Option<u32>;
}

/// Attributes of a route of which nothing but its prefix is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoAttributes;

impl RouteAttributes for NoAttributes {
    fn has_community(&self, _: &Community) -> bool {
        false
    }
    fn path_begins_with(&self, asns: &[Asn]) -> bool {
        asns.is_empty()
    }
    fn local_pref(&self) -> Option<u32> {
        None
    }
}

impl PrefixMatch {
    fn matches(&self, prefix: &Prefix) -> bool {
        let length = (self.min..=self.max).contains(&prefix.length());
        match self.operator {
            MatchOperator::Equal => *prefix == self.cidr && length,
            MatchOperator::NotEqual => !(*prefix == self.cidr && length),
            MatchOperator::In => self.cidr.covers(prefix) && length,
            MatchOperator::NotIn => !(self.cidr.covers(prefix) && length),
        }
    }
}

impl Rule {
    /// A rule that matches every route.
    pub fn all(action: Action) -> Rule {
        Rule {
            action,
            prefix: None,
            source: None,
            interface: None,
            peer_type: None,
            community: None,
            as_path_prefix: Vec::new(),
            priority: None,
            operations: Vec::new(),
        }
    }

    /// Whether all that the rule names is so of the route. A route whose interface is not known matches no `interface`.
    pub fn matches(&self, route: &Route<'_>) -> bool {
        let attributes = route.attributes;
        self.prefix.is_none_or(|wanted| wanted.matches(&route.prefix))
            && self.source.is_none_or(|MatchSource::RemotePeers| route.source == RouteSource::Peer)
            && self.interface.as_ref().is_none_or(|glob| route.interface.is_some_and(|name| glob.matches(name)))
            && self.peer_type.is_none_or(|kind| kind == route.peer_type)
            && self.community.as_ref().is_none_or(|community| attributes.has_community(community))
            && attributes.path_begins_with(&self.as_path_prefix)
            && self.priority.is_none_or(|priority| priority == priority_of(attributes.local_pref()))
    }
}

#[cfg(test)]
mod tests;
