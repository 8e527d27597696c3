//! What margayctl can ask to see, and the shapes of the answers: the same JSON that `margayctl -o json` prints.
//!
//! Field names are a promise to scripts: add freely, never rename. A moment is RFC 3339 text in UTC.

mod bfd;
mod bgp;
mod dump;
mod filter;
mod history;
mod ipam;
mod node;
mod object;
mod plan;
mod policy;
mod route;
mod service;
mod station;
mod trace;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use self::bfd::{BfdState, BfdView};
pub use self::bgp::{AsPathItem, PeerKind, PeerView, RoutePage, RouteView, SessionState, mesh_advice};
pub use self::dump::{DumpCursor, DumpPage};
pub use self::filter::{FilterTest, FilterTestView, Judged};
pub use self::history::{ChangeKind, ChangeView};
pub use self::ipam::{
    AddressView, BlockView, BorrowedView, IpamCheckView, IpamView, LeaseView, PodState, PodView, PoolView, Problem,
};
pub use self::node::{
    ApiServerView, DiagPart, DrainState, DrainView, NodeStatusView, OwnAddressView, ReportState, ReportView,
};
pub use self::object::{ObjectErrorView, ObjectKind, ObjectView};
pub use self::plan::{
    CutLines, CutPrefixes, Extent, FieldView, LineView, NowThen, PlanView, Proposal, SessionPlan, SessionStep, Step,
};
pub use self::policy::{
    Between, Connection, CounterView, DenialView, DenialsView, EndKind, EndView, JudgedView, PolicyChainView,
    PolicyCount, PolicyCounterView, PolicyEvent, PolicyPodView, PolicyRuleView, PolicyRulesView, PolicyTestView,
    PolicyTierView, PolicyVerdict, PolicyView, StagedView,
};
pub use self::route::{InstalledPage, InstalledRouteView, RouteKind, RouteSource, RouteWhyView};
pub use self::service::{
    ServiceAddressKind, ServiceAddressView, ServiceBlockView, ServiceRef, ServiceView, ServicesView,
};
pub use self::station::{StationState, StationView};
pub use self::trace::{Effect, HopView, OuterView, TraceOutcome, TraceStep, TraceView};
use crate::Prefix;

/// The most routes in one answer, rounded up to whole prefixes: what is longer comes in pages.
pub const PAGE: usize = 1000;

/// A question of margayctl's. The type of the answer is named with each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Show {
    /// [`NodeStatusView`].
    NodeStatus,
    /// A list of [`PeerView`], in order of address.
    BgpPeers,
    /// One [`DumpPage`] of an MRT file: the first, or what comes after another.
    BgpDump {
        /// Where the page before ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<DumpCursor>,
    },
    /// A list of [`StationView`], in order of address.
    BgpStations,
    /// One [`RoutePage`].
    BgpRoutes(BgpRoutes),
    /// A list of [`FilterTestView`]: for each session with the peer and each direction asked for.
    FilterTest(FilterTest),
    /// One [`InstalledPage`]; starts after the prefix given.
    Routes {
        /// The last prefix of the page before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<Prefix>,
    },
    /// [`RouteWhyView`] of this prefix, or of the longest that covers it.
    RouteWhy {
        /// What to explain; an address is a prefix of full length.
        prefix: Prefix,
    },
    /// [`IpamView`]: pools with their blocks.
    Ipam,
    /// [`AddressView`] of one address.
    IpamAddress {
        /// Which.
        ip: IpAddr,
    },
    /// [`IpamCheckView`].
    IpamCheck,
    /// A list of [`PodView`], in order of namespace and name.
    Pods,
    /// [`ServicesView`]: which service addresses this node announces.
    Services {
        /// Only this Service.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<ServiceRef>,
    },
    /// [`TraceView`]: the way of a connection's first packet.
    Trace(Between),
    /// A list of [`PolicyPodView`], in order of endpoint.
    PolicyPods,
    /// [`PolicyView`] of one endpoint of this node.
    Policy {
        /// `namespace/pod`, or `HostEndpoint/name`.
        endpoint: String,
    },
    /// [`PolicyTestView`]: what the policies say of a connection.
    PolicyTest(Between),
    /// A list of [`PolicyCounterView`], in order of object and action.
    PolicyCounters,
    /// [`DenialsView`]: the last packets that policies dropped or logged.
    PolicyLog,
    /// A list of [`ObjectView`], in order of name.
    Objects {
        /// Which kind.
        kind: ObjectKind,
        /// Only this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// A list of [`ObjectErrorView`]: what in the objects is not understood and therefore not in force.
    ObjectErrors,
    /// A list of [`ChangeView`], the oldest first: what changed on this node, as far as it is remembered.
    History {
        /// Only of this prefix, peer, object or pod; and of prefixes inside a prefix.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        of: Option<String>,
    },
    /// [`PlanView`]: what these objects would do if they were in force. Nothing is changed.
    Plan(Proposal),
    /// A list of [`DiagPart`] without secrets: what the agent alone can add to a support bundle.
    Diags,
}

/// Which of the speaker's routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BgpRoutes {
    /// Which table.
    pub table: BgpTable,
    /// Only routes from (or, if advertised, to) this peer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
    /// Only this prefix and what lies inside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Prefix>,
    /// The last prefix of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Prefix>,
}

/// The speaker's tables (RFC 4271 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BgpTable {
    /// Adj-RIBs-In, before any filter.
    Received,
    /// What of it was let in, and our own routes: the candidates.
    Accepted,
    /// Loc-RIB: one best path for each prefix, and those of equal cost.
    Best,
    /// Adj-RIBs-Out.
    Advertised,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Request;

    #[test]
    fn a_question_is_one_readable_line() {
        let table = BgpTable::Advertised;
        let ask = Show::BgpRoutes(BgpRoutes { table, peer: "10.0.0.1".parse().ok(), within: None, after: None });
        let line = serde_json::to_string(&Request::Show(ask.clone())).unwrap_or_default();
        assert_eq!(line, r#"{"show":{"bgpRoutes":{"table":"advertised","peer":"10.0.0.1"}}}"#);
        assert_eq!(serde_json::from_str::<Request>(&line).ok(), Some(Request::Show(ask)));
        let line = r#"{"show":"nodeStatus"}"#;
        assert_eq!(serde_json::from_str::<Request>(line).ok(), Some(Request::Show(Show::NodeStatus)));
    }
}
