//! Which rule of which filter decides on a route.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Prefix;
use crate::filter::{Direction, List};

/// What to hold against the filters of a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterTest {
    /// The peer: its address, or the name of its BGPPeer.
    pub peer: String,
    /// The route.
    pub prefix: Prefix,
    /// From the peer or to it; both where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
}

/// What became of a route, or would.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FilterTestView {
    /// The BGPPeer's name.
    pub name: String,
    /// The peer's address; none where a BGPPeer names peers by selector and no agent is asked.
    pub peer: Option<IpAddr>,
    /// Which way.
    pub direction: Direction,
    /// The list of rules that is for such routes.
    pub list: List,
    /// What was held against it.
    pub prefix: Prefix,
    /// What of the route was looked at.
    pub judged: Judged,
    /// The BGPFilter that decided.
    pub filter: Option<String>,
    /// Which of its rules, from 1.
    pub rule: Option<usize>,
    /// Whether the route passes; none where the default policy decides, which only an agent knows.
    pub passes: Option<bool>,
    /// Why.
    pub reason: String,
}

/// What of a route was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Judged {
    /// A route that is in the speaker's tables, with its attributes.
    Route,
    /// No such route is there: a learned one without communities, AS path, or LOCAL_PREF.
    PrefixAlone,
}
