//! Views of the routes that we want in the kernel.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::RouteView;
use crate::Prefix;

/// One route that we want in the kernel, and whether it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstalledRouteView {
    /// Where to.
    pub prefix: Prefix,
    /// Gateways; more than one is a multipath route, none is a route to a link or a blackhole.
    pub next_hops: Vec<IpAddr>,
    /// Links, in the order of `next_hops`.
    pub interfaces: Vec<String>,
    /// What kind of route.
    pub kind: RouteKind,
    /// Who wants it.
    pub protocol: RouteSource,
    /// The tunnel device, if the route goes by one.
    pub tunnel: Option<String>,
    /// Why by a tunnel, or why not.
    pub tunnel_reason: String,
    /// The kernel has it as we want it.
    pub installed: bool,
    /// Why it is wanted; if it is not installed, why not.
    pub reason: String,
}

/// Kinds of kernel routes (`rtm_type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RouteKind {
    /// Leads somewhere.
    Unicast,
    /// Drops in silence: our own block, where no pod is.
    Blackhole,
}

/// Who wants a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RouteSource {
    /// Learned from peers.
    Bgp,
    /// An aggregate that this node announces.
    Aggregate,
    /// A block of this node's.
    Block,
    /// A BGP peer's `reachableBy`.
    Gateway,
    /// A pod on this node.
    Pod,
}

impl RouteSource {
    /// The word of the listing.
    pub const fn word(self) -> &'static str {
        match self {
            RouteSource::Bgp => "bgp",
            RouteSource::Aggregate => "aggregate",
            RouteSource::Block => "block",
            RouteSource::Gateway => "gateway",
            RouteSource::Pod => "pod",
        }
    }
}

/// Some routes in order of prefix, and where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstalledPage {
    /// In order of prefix.
    pub routes: Vec<InstalledRouteView>,
    /// What to ask after next; none at the end.
    pub next: Option<Prefix>,
}

/// All about one prefix: the paths, which won and why, and what the kernel has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteWhyView {
    /// What was asked.
    pub asked: Prefix,
    /// The prefix that answers; none if no route covers what was asked.
    pub prefix: Option<Prefix>,
    /// Every path of it, refused ones too, best first, each with its reason.
    pub paths: Vec<RouteView>,
    /// The kernel route that follows, if any should.
    pub route: Option<InstalledRouteView>,
    /// One sentence that sums it up.
    pub verdict: String,
}
